/* As much of Unreal Engine's interface as the plugin names, so that its source compiles and a tick can be driven without
 * the engine. Names and signatures are the engine's; what stands behind them is the least that runs. It shows no more
 * than that the source is C++ and that the component does what its delegates say. */
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using int32 = std::int32_t;
using int64 = std::int64_t;
using uint8 = std::uint8_t;
using TCHAR = char16_t;

#define TEXT(text) u##text
#define THIRD_PARTY_INCLUDES_START
#define THIRD_PARTY_INCLUDES_END
#define TINSMITH_API
#define UCLASS(...)
#define UPROPERTY(...)
#define UFUNCTION(...)
#define GENERATED_BODY()

namespace stub {
std::u16string wide(const std::string &text);
std::string narrow(const std::u16string &text);
} // namespace stub

class FString {
  public:
    FString() = default;
    FString(const TCHAR *text) : text_(text) {}
    const TCHAR *operator*() const {
        return text_.c_str();
    }
    bool IsEmpty() const {
        return text_.empty();
    }
    FString &operator+=(const FString &more) {
        text_ += more.text_;
        return *this;
    }
    bool operator==(const FString &other) const {
        return text_ == other.text_;
    }

  private:
    std::u16string text_;
};

#define UTF8_TO_TCHAR(text) (stub::wide(text).c_str())
#define TCHAR_TO_UTF8(text) (stub::narrow(text).c_str())

struct FColor {
    uint8 B, G, R, A;
};

template <class T> class TArray {
  public:
    TArray() = default;
    TArray(std::initializer_list<T> items) : items_(items) {}
    int32 Num() const {
        return static_cast<int32>(items_.size());
    }
    void Add(T item) {
        items_.push_back(std::move(item));
    }
    void SetNumUninitialized(int32 count) {
        items_.resize(static_cast<std::size_t>(count));
    }
    T *GetData() {
        return items_.data();
    }
    const T *GetData() const {
        return items_.data();
    }
    const T &operator[](int32 k) const {
        return items_[static_cast<std::size_t>(k)];
    }
    auto begin() const {
        return items_.begin();
    }
    auto end() const {
        return items_.end();
    }

  private:
    std::vector<T> items_;
};

struct FMemory {
    static void Memcpy(void *to, const void *from, std::size_t size) {
        std::memcpy(to, from, size);
    }
};

/* ---- Objects: kept until the program ends, as if the collector never came by ---- */

class UObject {
  public:
    virtual ~UObject() = default;
};

namespace stub {
inline std::vector<std::unique_ptr<UObject>> objects;
} // namespace stub

template <class T> T *NewObject() {
    stub::objects.push_back(std::make_unique<T>());
    return static_cast<T *>(stub::objects.back().get());
}

template <class T> class TObjectPtr {
  public:
    TObjectPtr(T *object = nullptr) : object_(object) {}
    T *operator->() const {
        return object_;
    }
    operator T *() const {
        return object_;
    }

  private:
    T *object_;
};

/* ---- Delegates: a function stands where the engine binds one by name ---- */

namespace stub {
template <class... A> class multicast {
  public:
    void Bind(std::function<void(A...)> function) {
        bound_.push_back(std::move(function));
    }
    void Broadcast(A... values) const {
        for (const auto &function : bound_)
            function(values...);
    }

  private:
    std::vector<std::function<void(A...)>> bound_;
};
} // namespace stub

#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(name, type, value) using name = stub::multicast<type>
#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(name, first, a, second, b) \
    using name = stub::multicast<first, second>

/* ---- The log ---- */

namespace stub {
inline std::string last_error;
void log(const TCHAR *format, const TCHAR *text);
} // namespace stub

#define DECLARE_LOG_CATEGORY_EXTERN(name, ...) extern int name
#define DEFINE_LOG_CATEGORY(name) int name = 0
#define UE_LOG(category, verbosity, format, text) ((void)category, stub::log(format, text))
