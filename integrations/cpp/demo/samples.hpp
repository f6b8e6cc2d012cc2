/* Durations of one kind, their percentiles, and their histogram. */
#ifndef SAMPLES_HPP
#define SAMPLES_HPP

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

using clock_type = std::chrono::steady_clock;

inline double microseconds(clock_type::duration d) {
    return std::chrono::duration<double, std::micro>(d).count();
}

class samples {
  public:
    explicit samples(std::size_t most) {
        us_.reserve(most); /* no frame waits for memory */
    }
    void add(double us) {
        us_.push_back(us);
    }
    std::size_t size() const {
        return us_.size();
    }
    /* The least number of microseconds that a part of all samples, 0 to 1, is not above. */
    double at(double part) const {
        if (us_.empty())
            return 0;
        std::vector<double> sorted = us_;
        std::size_t k =
            std::min(sorted.size() - 1, static_cast<std::size_t>(part * static_cast<double>(sorted.size())));
        std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(k), sorted.end());
        return sorted[k];
    }
    std::string json() const {
        char text[160];
        std::snprintf(text, sizeof text, "{\"p50\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f, \"most\": %.1f}",
                      at(0.5), at(0.99), at(0.999), at(1));
        return text;
    }

  private:
    std::vector<double> us_;
};

/* How many samples fell in each of BARS bars of `width` microseconds; the last has all above. */
template <std::size_t BARS> class histogram {
  public:
    explicit histogram(double width) : width_(width) {}
    void add(double us) {
        auto bar = static_cast<std::size_t>((us > 0 ? us : 0) / width_);
        counts_[bar < BARS ? bar : BARS - 1]++;
        total_++;
    }
    double width() const { /* microseconds */
        return width_;
    }
    /* 0 to 1 */
    double part(std::size_t bar) const {
        return total_ ? static_cast<double>(counts_[bar]) / static_cast<double>(total_) : 0;
    }

  private:
    double width_;
    std::array<std::size_t, BARS> counts_{};
    std::size_t total_ = 0;
};

#endif
