/* The gate: a game of one guard, in raylib, who thinks inside the frame.
 *
 *     gate FILE.tin [--key KEY] [--budget US]                 play
 *     gate FILE.tin --say TEXT [--frames N] [--shot PNG]      say it, and leave once he has answered, or after N frames
 *     gate FILE.tin --bench N [--draw] [--budget US]          N frames at 60 Hz, measured, as JSON; drawn with --draw
 *
 * It leaves with 1 where the model fails, with 2 where it was called wrongly. */
#include "guard.hpp"
#include "samples.hpp"
#include "scene.hpp"
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

namespace {

constexpr std::chrono::nanoseconds frame(1'000'000'000 / 60);

struct options {
    std::string file, key, say, shot;
    long budget_us = 2000, frames = 0, bench = 0;
    bool draw = false;
};

[[noreturn]] void leave(int code, const std::string &why) {
    std::fprintf(stderr, "gate: %s\n", why.c_str());
    std::exit(code);
}

long number(const char *name, const char *text) {
    char *end;
    long value = std::strtol(text, &end, 10);
    if (*end || end == text || value < 1)
        leave(2, std::string(name) + " " + text + ": give a number of at least 1");
    return value;
}

options read(int argc, char **argv) {
    options o;
    struct text {
        const char *name;
        std::string *to;
    } texts[] = {{"--key", &o.key}, {"--say", &o.say}, {"--shot", &o.shot}};
    struct count {
        const char *name;
        long *to;
    } counts[] = {{"--budget", &o.budget_us}, {"--frames", &o.frames}, {"--bench", &o.bench}};
    for (int k = 1; k < argc; k++) {
        const std::string name = argv[k];
        bool known = name == "--draw";
        o.draw = o.draw || known;
        if (name.rfind("--", 0) != 0) {
            o.file = name;
            continue;
        }
        if (!known && k + 1 == argc)
            leave(2, name + ": needs a value after it");
        for (const text &t : texts)
            if (name == t.name)
                known = true, *t.to = argv[++k];
        for (const count &c : counts)
            if (name == c.name)
                known = true, *c.to = number(c.name, argv[++k]);
        if (!known)
            leave(2, name + ": there are --key, --budget, --say, --frames, --shot, --bench and --draw");
    }
    if (o.file.empty())
        leave(2, "give a .tin: gate FILE.tin");
    return o;
}

/* How long he thought, in microseconds. */
double think(guard &him, std::chrono::microseconds budget) {
    auto begin = clock_type::now();
    auto step = him.think(budget);
    double us = microseconds(clock_type::now() - begin);
    if (!step)
        leave(1, step.error().text);
    return us;
}

void hear(guard &him, std::string_view words) {
    if (auto heard = him.hear(words); !heard)
        leave(1, heard.error().text);
}

/* The traveller's line, as it is typed. Whether it is to be said. */
bool typed(std::string &words) {
    for (int c; (c = GetCharPressed()) != 0;)
        if (words.size() < 70 && c >= 32 && c < 127) /* what raylib's own font has */
            words.push_back(static_cast<char>(c));
    if (!words.empty() && (IsKeyPressed(KEY_BACKSPACE) || IsKeyPressedRepeat(KEY_BACKSPACE)))
        words.pop_back();
    return IsKeyPressed(KEY_ENTER) && !words.empty();
}

void play(guard &him, const options &o) {
    scene view(static_cast<double>(o.budget_us));
    SetTargetFPS(60);
    std::string words;
    if (!o.say.empty())
        hear(him, o.say);
    for (long n = 0; !WindowShouldClose() && (!o.frames || n < o.frames); n++) {
        if (typed(words)) {
            hear(him, words);
            words.clear();
        }
        double us = think(him, std::chrono::microseconds(o.budget_us));
        view.took(GetFrameTime() * 1e6, us);
        view.draw(him, words, GetTime());
        if (!o.say.empty() && him.now() == guard::mood::waits)
            break;
    }
    if (!o.shot.empty())
        TakeScreenshot(o.shot.c_str());
    if (him.deed() >= 0)
        std::printf("The guard %s.\n%s\n", guard::deeds[him.deed()].data(), him.line().c_str());
}

/* Memory of this process alone, in bytes: not the mapped file's, which the system may drop. 0 where Linux does not say. */
long long own_bytes() {
    long long all = 0, resident = 0, shared = 0;
    if (std::FILE *file = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(file, "%lld %lld %lld", &all, &resident, &shared) != 3)
            resident = shared = 0;
        std::fclose(file);
    }
    return (resident - shared) * 4096;
}

/* What a loop that only waits suffers for the same budget: the machine's share of a late frame. */
double spin(std::chrono::microseconds budget) {
    auto begin = clock_type::now();
    while (clock_type::now() - begin < budget) {
    }
    return microseconds(clock_type::now() - begin);
}

void bench(guard &him, std::string_view isa, long long own, const options &o) {
    static constexpr std::string_view lines[] = {"Good evening, sir.", "The word is swordfish.",
                                                 "Let me in at once!", "It rains, and my horse is lame.",
                                                 "Who built this castle?"};
    const std::chrono::microseconds budget(o.budget_us);
    const double limit = static_cast<double>(o.budget_us);
    const auto most = static_cast<std::size_t>(o.bench);
    std::unique_ptr<scene> view = o.draw ? std::make_unique<scene>(limit) : nullptr;
    samples step(most), idle(most), hearing(most), frames(most);
    auto begin = clock_type::now(), due = begin, last = begin;
    for (std::size_t n = 0, turn = 0; n < most; n++, due += frame) {
        std::this_thread::sleep_until(due);
        auto now = clock_type::now();
        frames.add(microseconds(now - last));
        if (him.now() == guard::mood::waits) {
            hear(him, lines[turn++ % std::size(lines)]);
            hearing.add(microseconds(clock_type::now() - now));
        }
        double idle_us = n % 2 ? spin(budget) : 0; /* neither is always the first after the wait */
        double step_us = think(him, budget);
        if (n % 2 == 0)
            idle_us = spin(budget);
        step.add(step_us > limit ? step_us - limit : 0);
        idle.add(idle_us - limit);
        if (view) {
            view->took(microseconds(now - last), step_us);
            view->draw(him, "", microseconds(now - begin) / 1e6);
        }
        last = now;
    }
    double seconds = microseconds(clock_type::now() - begin) / 1e6;
    std::printf(
        "{\"host\": \"%s\", \"isa\": \"%.*s\", \"frames\": %zu, \"hz\": 60, \"budget_us\": %ld,\n"
        " \"step_past_budget_us\": %s,\n \"idle_past_budget_us\": %s,\n \"p99.9_beyond_idle_us\": %.1f,\n"
        " \"hear_us\": %s,\n \"frame_us\": %s,\n \"tokens\": %d, \"tokens_per_s\": %.1f, \"session_bytes\": "
        "%lld,\n \"added_bytes\": %lld}\n",
        o.draw ? "raylib" : "no window", static_cast<int>(isa.size()), isa.data(), most, o.budget_us,
        step.json().c_str(), idle.json().c_str(), step.at(0.999) - idle.at(0.999), hearing.json().c_str(),
        frames.json().c_str(), him.tokens(), him.tokens() / seconds,
        static_cast<long long>(him.session().memory()), own_bytes() - own);
}

} // namespace

int main(int argc, char **argv) {
    options o = read(argc, argv);
    long long own = own_bytes();
    auto model = tin::model::open(o.file, o.key);
    if (!model)
        leave(1, model.error().text);
    tin::needs needs;
    needs.context = 512;
    auto him = guard::create(*model, needs);
    if (!him)
        leave(1, him.error().text);
    if (o.bench)
        bench(*him, model->isa(), own, o);
    else
        play(*him, o);
    return 0;
}
