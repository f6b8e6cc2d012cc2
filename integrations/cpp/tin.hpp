/* tin.hpp: tin_host.h for C++17. Header only; it needs neither exceptions nor run-time types.
 *
 *     auto model = tin::model::open("guard.tin");
 *     if (!model) return print(model.error().text);
 *     auto guard = model->session();
 *     guard->ask("Who goes there?", 64);
 *     while (guard->step(2ms).value_or(tin::step::done) != tin::step::done) { }   // each frame: 2 ms of it
 *     print(guard->answer());
 *
 * What can fail returns a tin::result: the value, or an error of a status and a line. Where exceptions are on, value()
 * throws it as a tin::exception instead. Handles are moved, not copied, and close themselves, in any order.
 * Texts that come back are views of the session's own, until the next call for it; tin_host.h says the rest. */
#ifndef TIN_HPP
#define TIN_HPP

#include "tin_host.h"
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>
#if defined(__cpp_exceptions)
#include <stdexcept>
#endif

namespace tin {

enum class role : std::int32_t {
    system = TIN_ROLE_SYSTEM,
    user = TIN_ROLE_USER,
    assistant = TIN_ROLE_ASSISTANT,
    tool = TIN_ROLE_TOOL
};

/* What a step came to: nothing new yet; a piece, and more to come; the end; no answer under way. */
enum class step : std::int32_t {
    pending = TINHOST_PENDING,
    piece = TINHOST_PIECE,
    done = TINHOST_DONE,
    idle = TINHOST_IDLE
};

enum class finish : std::int32_t {
    none = TIN_FINISH_NONE,
    end = TIN_FINISH_END,
    length = TIN_FINISH_LENGTH,
    context = TIN_FINISH_CONTEXT,
    constraint = TIN_FINISH_CONSTRAINT
};

enum class thinking : std::int32_t { by_template = 0, on = 1, off = 2 };

/* status  TIN_ERR_*
 * text    one line: what was wrong */
struct failure {
    tin_status status = TIN_OK;
    std::string text;
};

#if defined(__cpp_exceptions)
struct exception : std::runtime_error {
    explicit exception(const failure &why) : std::runtime_error(why.text), status(why.status) {}
    tin_status status;
};
#endif

struct nothing {};

/* A T, or why there is none. `*` and `->` are for one that was tested. */
template <class T = nothing> class [[nodiscard]] result {
  public:
    result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    result(failure why) : state_(std::in_place_index<1>, std::move(why)) {}
    explicit operator bool() const {
        return state_.index() == 0;
    }
    T &operator*() {
        return *std::get_if<0>(&state_);
    }
    T *operator->() {
        return std::get_if<0>(&state_);
    }
    const failure &error() const {
        return *std::get_if<1>(&state_);
    }
    T value_or(T other) && {
        return *this ? std::move(**this) : std::move(other);
    }
#if defined(__cpp_exceptions)
    T value() && {
        if (!*this)
            throw exception(error());
        return std::move(**this);
    }
#endif

  private:
    std::variant<T, failure> state_;
};

/* Bytes of the caller's, of any container that lies in one piece. */
class bytes {
  public:
    bytes(const void *data, std::size_t size) : data_(data), size_(size) {}
    template <class C, class = decltype(std::data(std::declval<const C &>()))>
    bytes(const C &container)
        : data_(std::data(container)), size_(std::size(container) * sizeof *std::data(container)) {}
    const void *data() const {
        return data_;
    }
    std::int64_t size() const {
        return static_cast<std::int64_t>(size_);
    }

  private:
    const void *data_;
    std::size_t size_;
};

/* What a session is opened with, as tinhost_session_open says. */
struct needs {
    std::int32_t context = 0;
    std::int32_t threads = 1;
    std::int32_t adapters = 1;
    std::int64_t most_bytes = 0;
};

struct sampling {
    double temperature = 0;
    double top_p = 1;
    double repetition = 1;
    std::int64_t seed = 0;
};

namespace detail {

/* A view as the library takes texts, which end with a NUL: none may stand inside. */
class text {
  public:
    explicit text(std::string_view view) : copy_(view), whole_(view.find('\0') == view.npos) {}
    explicit operator bool() const {
        return whole_;
    }
    const char *get() const {
        return copy_.c_str();
    }
    static failure refused() {
        return {TIN_ERR_ARGUMENT, "a text may not have a NUL inside: take it out"};
    }

  private:
    std::string copy_;
    bool whole_;
};

inline std::string_view view(const char *text) {
    return text ? std::string_view(text) : std::string_view();
}

struct closer {
    void operator()(tinhost_model *model) const {
        tinhost_close(model);
    }
    void operator()(tinhost_session *session) const {
        tinhost_session_close(session);
    }
};

} // namespace detail

class session {
  public:
    std::int64_t memory() const { /* bytes */
        return tinhost_session_bytes(get());
    }

    /* What the next answer is made by. An adapter's scale of 0 takes it off. */
    result<> adapter(std::string_view name, double scale = 1) {
        return with(name, [&](const char *text) { return tinhost_adapter(get(), text, scale); });
    }
    result<> no_adapters() {
        return checked(tinhost_adapter(get(), nullptr, 0));
    }
    result<> constrained(bool on) {
        return checked(tinhost_constrained(get(), on));
    }
    result<> sample(const sampling &by) {
        return checked(tinhost_sampling(get(), by.temperature, by.top_p, by.repetition, by.seed));
    }
    result<> duty_cycle(std::int32_t percent) {
        return checked(tinhost_duty_cycle(get(), percent));
    }
    result<> think(thinking mode) {
        return checked(tinhost_think(get(), static_cast<std::int32_t>(mode)));
    }

    /* The conversation. */
    result<> say(role who, std::string_view text) {
        return with(text,
                    [&](const char *said) { return tinhost_say(get(), static_cast<std::int32_t>(who), said); });
    }
    /* Before the text of the user's message that comes next: a PNG or JPEG file; pixels of 3 bytes (RGB) or 4 (RGBA). */
    result<> image(bytes file) {
        return checked(tinhost_image(get(), file.data(), file.size()));
    }
    result<> pixels(bytes rows, std::int32_t width, std::int32_t height, std::int32_t channels) {
        return checked(tinhost_pixels(get(), rows.data(), rows.size(), width, height, channels));
    }
    result<> forget(std::int32_t from = 0) {
        return checked(tinhost_forget(get(), from));
    }
    std::int32_t messages() const {
        return tinhost_messages(get());
    }
    std::optional<std::pair<role, std::string_view>> message(std::int32_t k) const {
        const char *text = tinhost_message(get(), k);
        if (!text)
            return std::nullopt;
        return std::pair(static_cast<role>(tinhost_message_role(get(), k)), std::string_view(text));
    }
    result<> begin(std::int32_t most_tokens) {
        return checked(tinhost_begin(get(), most_tokens));
    }
    result<> ask(std::string_view text, std::int32_t most_tokens) {
        return with(text, [&](const char *asked) { return tinhost_ask(get(), asked, most_tokens); });
    }
    /* Goes on from a text as it is; the answer becomes no message. */
    result<> complete(std::string_view text, std::int32_t most_tokens) {
        return with(text, [&](const char *begun) { return tinhost_complete(get(), begun, most_tokens); });
    }
    /* Options of one line each: chosen() says which it is. */
    result<> choose(const std::vector<std::string_view> &options) {
        std::string lines;
        for (std::string_view option : options) {
            if (option.find('\n') != option.npos)
                return failure{TIN_ERR_ARGUMENT,
                               "an option may not have several lines: " + std::string(option)};
            lines.append(option).append("\n");
        }
        return with(lines, [&](const char *text) { return tinhost_choose(get(), text); });
    }

    /* Goes on with the answer for about `budget`; 0 and below, as what is left of a frame that is over, do the least that
     * makes progress. wait() has no bound. It allocates nothing but an error. */
    result<tin::step> step(std::chrono::microseconds budget) {
        return stepped(budget.count() < 1 ? -1 : budget.count());
    }
    /* Computes the whole answer now. */
    result<std::string_view> wait() {
        for (;;) {
            result<tin::step> state = stepped(0);
            if (!state)
                return state.error();
            if (*state == tin::step::done || *state == tin::step::idle)
                return answer();
        }
    }
    void cancel() {
        tinhost_cancel(get());
    }

    std::string_view piece() const {
        return detail::view(tinhost_piece(get()));
    }
    std::string_view answer() const {
        return detail::view(tinhost_answer(get()));
    }
    /* Counted from 0; -1 before there is one. */
    std::int32_t chosen() const {
        return tinhost_chosen(get());
    }
    tin::finish finish() const {
        return static_cast<tin::finish>(tinhost_finish(get()));
    }
    std::int32_t tokens() const {
        return tinhost_tokens(get());
    }
    std::int32_t passes() const {
        return tinhost_passes(get());
    }
    std::int64_t digest() const {
        return tinhost_digest(get());
    }

    /* Save, restore, fork. */
    result<std::vector<std::byte>> save() const {
        std::vector<std::byte> state(static_cast<std::size_t>(tinhost_save_size(get())));
        std::int32_t status = tinhost_save(get(), state.data(), static_cast<std::int64_t>(state.size()));
        if (status < 0)
            return why(status);
        return state;
    }
    result<> restore(bytes state) {
        return checked(tinhost_restore(get(), state.data(), state.size()));
    }
    result<> copy(const session &from) {
        return checked(tinhost_copy(get(), from.get()));
    }

    tinhost_session *get() const {
        return handle_.get();
    }

  private:
    friend class model;
    explicit session(tinhost_session *handle) : handle_(handle) {}
    failure why(std::int32_t status) const {
        return {status, tinhost_error(get())};
    }
    result<> checked(std::int32_t status) const {
        if (status < 0)
            return why(status);
        return nothing();
    }
    template <class F> result<> with(std::string_view view, F call) const {
        detail::text text(view);
        return text ? checked(call(text.get())) : result<>(detail::text::refused());
    }
    result<tin::step> stepped(std::int64_t microseconds) {
        std::int32_t state = tinhost_step(get(), microseconds);
        if (state < 0)
            return why(state);
        return static_cast<tin::step>(state);
    }
    std::unique_ptr<tinhost_session, detail::closer> handle_;
};

class model {
  public:
    /* Maps a .tin. With a key, minisign's public "RW…", only a file that its owner signed (path.minisig) is opened. */
    static result<model> open(std::string_view path, std::string_view key = {}) {
        detail::text at(path), by(key);
        return at && by ? opened(tinhost_open(at.get(), by.get())) : detail::text::refused();
    }
    /* Opens a .tin that stays in memory until the model and its sessions are closed.
     * signature  the text of its .minisig file, where there is a key */
    static result<model> open_memory(bytes file, std::string_view signature = {}, std::string_view key = {}) {
        detail::text signed_by(signature), by(key);
        if (!signed_by || !by)
            return detail::text::refused();
        const char *given = signature.empty() ? nullptr : signed_by.get();
        return opened(tinhost_open_memory(file.data(), file.size(), given, by.get()));
    }

    result<tin::session> session(const needs &by = {}) const {
        tin::session made(tinhost_session_open(get(), by.context, by.threads, by.adapters, by.most_bytes));
        if (!made.get())
            return failure{TIN_ERR_MEMORY, "no memory for a session"};
        std::int32_t status = tinhost_status(made.get());
        if (status < 0)
            return made.why(status);
        return made;
    }
    std::vector<std::string> adapters() const {
        std::vector<std::string> names;
        while (const char *name = tinhost_adapter_name(get(), static_cast<std::int32_t>(names.size())))
            names.emplace_back(name);
        return names;
    }
    /* A text entry of the file ("manifest.json", …). */
    std::optional<std::string_view> entry(std::string_view name) const {
        detail::text named(name);
        const char *text = named ? tinhost_entry(get(), named.get()) : nullptr;
        return text ? std::optional<std::string_view>(text) : std::nullopt;
    }
    std::string_view isa() const {
        return detail::view(tinhost_isa(get()));
    }
    std::int64_t fingerprint() const {
        return tinhost_fingerprint(get());
    }
    tinhost_model *get() const {
        return handle_.get();
    }

  private:
    explicit model(tinhost_model *handle) : handle_(handle) {}
    static result<model> opened(tinhost_model *handle) {
        model made(handle);
        if (!handle)
            return failure{TIN_ERR_MEMORY, "no memory for a model"};
        std::int32_t status = tinhost_model_status(handle);
        if (status < 0)
            return failure{status, tinhost_model_error(handle)};
        return made;
    }
    std::unique_ptr<tinhost_model, detail::closer> handle_;
};

} // namespace tin

#endif
