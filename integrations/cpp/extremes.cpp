/* Numbers and budgets at their extremes, at each argument: extremes TINY.tin. */
#include "tin.hpp"
#include <cstdio>
#include <cstdlib>
#include <limits>

namespace {

using std::chrono::microseconds;
template <class T> constexpr T most = std::numeric_limits<T>::max();
template <class T> constexpr T least = std::numeric_limits<T>::min();
constexpr double nan = std::numeric_limits<double>::quiet_NaN(),
                 infinite = std::numeric_limits<double>::infinity();

void must(bool held, const char *what) {
    if (held)
        return;
    std::fprintf(stderr, "extremes: %s\n", what);
    std::exit(1);
}

template <class T> bool refused(const tin::result<T> &made) {
    return !made && made.error().status == TIN_ERR_ARGUMENT && !made.error().text.empty();
}

/* Steps of a budget to the end: how many. The answer is the same by all. */
int steps(tin::session &s, microseconds budget, std::int64_t digest) {
    must(s.forget() && s.ask("hello", 24), "a question");
    int count = 0;
    for (auto state = tin::step::pending; state != tin::step::done; count++) {
        auto step = s.step(budget);
        must(bool(step), "a step");
        state = *step;
    }
    must(!digest || s.digest() == digest, "a budget gives another answer");
    return count;
}

void budgets(tin::session &s) {
    steps(s, microseconds::max(), 0);
    const std::int64_t digest = s.digest();
    for (microseconds budget : {microseconds::max(), microseconds(std::chrono::hours(24 * 365 * 100))})
        must(steps(s, budget, digest) == 1, "a long budget was not enough");
    for (microseconds budget : {microseconds::min(), microseconds(-1), microseconds(0), microseconds(1)})
        must(steps(s, budget, digest) > 24, "a short budget was no bound");
}

void numbers(const tin::model &model, tin::session &s) {
    const std::vector<unsigned char> bytes(12);
    for (std::int32_t odd : {most<std::int32_t>, -1, least<std::int32_t>}) {
        must(refused(s.forget(odd)) && refused(s.duty_cycle(odd)), "an odd number was taken");
        must(!s.pixels(bytes, odd, 2, 3) && !s.pixels(bytes, 2, 2, odd), "an odd image was taken");
        tin::needs threads, adapters;
        threads.threads = adapters.adapters = odd;
        must(refused(model.session(threads)) && refused(model.session(adapters)), "odd needs were taken");
        must(odd > 0 || (refused(s.begin(odd)) && refused(s.ask("again", odd))), "no tokens were taken");
    }
    for (double odd : {nan, infinite, -infinite, most<double>, -65536.0}) {
        must(refused(s.adapter("a", odd)), "an odd scale was taken");
        must(refused(s.sample({odd, 1, 1, 0})) && refused(s.sample({0, odd, 1, 0})) &&
                 refused(s.sample({0, 1, odd, 0})),
             "odd sampling was taken");
    }
    tin::needs less;
    less.most_bytes = least<std::int64_t>;
    must(refused(model.session(less)), "less than no memory was taken");
    must(bool(s.adapter("a", 1e-60)), "a scale that is 0 in float32");
    must(s.messages() == 2, "messages were forgotten");
    must(bool(s.begin(most<std::int32_t>)), "as many tokens as there is room for");
    s.cancel();
    const std::vector<std::vector<std::string_view>> wrong = {
        {}, {""}, {"yes", ""}, {"", "yes"}, {"yes", "", "no"}, {"yes", "yes"}, {"a\nb"}};
    for (const auto &options : wrong)
        must(refused(s.choose(options)), "odd options were taken");
}

} // namespace

int main(int argc, char **argv) {
    must(argc == 2, "extremes TINY.tin");
    auto model = tin::model::open(argv[1]);
    must(bool(model), "no model");
    tin::needs room;
    room.context = 256;
    auto s = model->session(room);
    must(s && s->constrained(false), "no session");
    budgets(*s);
    const std::int64_t digest = s->digest();
    numbers(*model, *s);
    steps(*s, microseconds::max(), digest);
    return 0;
}
