/* The conformance cases through tin.hpp: conformance FOLDER OUT.json HOST VERSION. It leaves with 1 where one fails. */
#include "tin.hpp"
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

using json = nlohmann::json;
using namespace std::chrono_literals;

namespace {

std::string folder;

std::string path(const std::string &name) {
    return folder + "/" + name;
}

std::string text_of(const std::string &name) {
    std::ifstream file(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/* What is wrong, one text a case: the first that is not "". */
using verdict = std::string;

template <class T> verdict failed(const tin::result<T> &result) {
    return result ? "" : "status " + std::to_string(result.error().status) + ": " + result.error().text;
}

verdict compare(const char *what, const json &expected, const json &found) {
    return expected == found ? "" : std::string(what) + " is " + found.dump() + ", not " + expected.dump();
}

verdict compare(const json &expect, const tin::session &s) {
    const json found = {{"text", s.answer()},
                        {"tokens", s.tokens()},
                        {"finish", static_cast<int>(s.finish())},
                        {"digest", std::to_string(s.digest())},
                        {"chosen", s.chosen()}};
    for (const auto &[key, value] : expect.items())
        if (verdict v = compare(key.c_str(), value, found[key]); !v.empty())
            return v;
    return "";
}

template <class T> verdict refused(const json &expect, const tin::result<T> &result) {
    if (result)
        return "it was not refused";
    if (verdict v = compare("status", expect["status"], result.error().status); !v.empty())
        return v;
    bool says = result.error().text.find(expect["says"].get<std::string>()) != std::string::npos;
    return says ? "" : "the error says: " + result.error().text;
}

tin::needs room() {
    tin::needs needs;
    needs.context = 512;
    return needs;
}

verdict say(tin::session &s, const json &messages) {
    for (const json &m : messages) {
        auto role = m["role"] == "system" ? tin::role::system : tin::role::user;
        if (auto said = s.say(role, m["content"].get<std::string>()); !said)
            return failed(said);
    }
    return "";
}

verdict answer(tin::session &s, const json &c, const json &expect) {
    if (auto begun = s.begin(c["max_tokens"]); !begun)
        return failed(begun);
    if (auto all = s.wait(); !all)
        return failed(all);
    return compare(expect, s);
}

verdict stepped(tin::session &s, const json &c) {
    if (auto begun = s.begin(c["max_tokens"]); !begun)
        return failed(begun);
    std::string pieces;
    int steps = 0;
    for (auto state = tin::step::pending; state != tin::step::done; steps++) {
        auto step = s.step(std::chrono::microseconds(c["budget_us"].get<int>()));
        if (!step || *step == tin::step::idle)
            return step ? "a step was idle" : failed(step);
        state = *step;
        if (state != tin::step::pending)
            pieces += s.piece();
    }
    if (steps < 10)
        return "it took " + std::to_string(steps) + " steps, as if there were no budget";
    if (verdict v = compare("pieces", c["expect"]["text"], pieces); !v.empty())
        return v;
    return compare(c["expect"], s);
}

verdict cancelled(tin::session &s, const json &c) {
    if (auto begun = s.begin(c["max_tokens"]); !begun)
        return failed(begun);
    while (s.tokens() < c["after_tokens"].get<int>())
        if (auto step = s.step(200us); !step || *step == tin::step::done)
            return step ? "it was done before it could be cancelled" : failed(step);
    s.cancel();
    if (verdict v = compare("messages", c["messages"].size(), s.messages()); !v.empty())
        return v;
    return answer(s, c, c["expect"]);
}

verdict restored(const tin::model &model, tin::session &s, const json &c) {
    if (verdict v = answer(s, c, c["expect"]); !v.empty())
        return v;
    auto state = s.save();
    auto other = model.session(room());
    if (!state || !other)
        return failed(state) + failed(other);
    std::vector<std::byte> torn(state->begin(), state->end() - 1);
    if (other->restore(torn))
        return "a torn state was restored";
    if (auto back = other->restore(*state); !back)
        return failed(back);
    for (tin::session *each : {&s, &*other}) {
        if (auto asked = each->ask(c["next"].get<std::string>(), c["max_tokens"]); !asked)
            return failed(asked);
        if (auto all = each->wait(); !all)
            return failed(all);
        if (verdict v = compare(c["then"], *each); !v.empty())
            return v;
    }
    return "";
}

verdict missing(const json &c) {
#if defined(__cpp_exceptions)
    try {
        tin::model::open(path(c["file"])).value();
        return "value() did not throw";
    } catch (const tin::exception &error) {
        if (verdict v = compare("what() of status", c["expect"]["status"], error.status); !v.empty())
            return v;
    }
#endif
    return refused(c["expect"], tin::model::open(path(c["file"])));
}

verdict keys(const json &c, const std::string &file) {
    auto wrong = tin::model::open(path(file), text_of(c["wrong"]));
    if (verdict v = refused(c["expect"], wrong); !v.empty())
        return v;
    auto right = tin::model::open(path(file), text_of(c["right"]));
    if (!right)
        return failed(right);
    std::string image = text_of(file);
    return failed(tin::model::open_memory(image, text_of(file + ".minisig"), text_of(c["right"])));
}

/* A session of the case's own file, for an image. */
tin::result<tin::session> session_of(const json &c) {
    auto model = tin::model::open(path(c["file"]));
    if (!model)
        return model.error();
    return model->session(room());
}

/* By the image's file, and by its pixels. */
verdict with_image(const json &c) {
    const std::string file = text_of(c["image"]), rgb = text_of(c["pixels"]);
    for (bool is_file : {true, false}) {
        auto s = session_of(c);
        if (!s)
            return failed(s);
        auto shown = is_file ? s->image(file) : s->pixels(rgb, c["width"], c["height"], 3);
        if (!shown)
            return failed(shown);
        if (auto said = s->say(tin::role::user, c["text"].get<std::string>()); !said)
            return failed(said);
        if (verdict v = answer(*s, c, c["expect"]); !v.empty())
            return v;
    }
    return "";
}

verdict unseen(const json &c) {
    auto s = session_of(c);
    return s ? refused(c["expect"], s->image(text_of(c["image"]))) : failed(s);
}

verdict talk(const tin::model &model, const json &c) {
    const std::string name = c["name"];
    auto opened = model.session(room());
    if (!opened)
        return failed(opened);
    tin::session s = std::move(*opened);
    if (verdict v = say(s, c["messages"]); !v.empty())
        return v;
    if (name == "budget")
        return stepped(s, c);
    if (name == "cancel")
        return cancelled(s, c);
    if (name == "restore")
        return restored(model, s, c);
    if (c.contains("options")) {
        auto options = c["options"].get<std::vector<std::string>>();
        if (auto begun = s.choose({options.begin(), options.end()}); !begun)
            return failed(begun);
        auto all = s.wait();
        return all ? compare(c["expect"], s) : failed(all);
    }
    if (c.contains("sampling")) {
        const json &by = c["sampling"];
        if (auto free = s.constrained(c["constrained"].get<bool>()); !free)
            return failed(free);
        if (auto set = s.sample({by["temperature"], by["top_p"], by["repetition"], by["seed"]}); !set)
            return failed(set);
    }
    if (c.contains("adapter"))
        if (auto on = s.adapter(c["adapter"].get<std::string>()); !on)
            return failed(on);
    verdict v = answer(s, c, c["expect"]);
    if (!v.empty() || !c.contains("adapter"))
        return v;
    auto forgot = s.forget(s.messages() - 1);
    auto off = s.no_adapters();
    return forgot && off ? answer(s, c, c["then"]) : failed(forgot) + failed(off);
}

verdict run(const json &all, const tin::model &model, const json &c) {
    const std::string name = c["name"], plain = all["files"]["plain"];
    if (name == "missing")
        return missing(c);
    if (name == "key")
        return keys(c, plain);
    if (name == "memory") {
        tin::needs needs;
        needs.most_bytes = c["most_bytes"];
        return refused(c["expect"], model.session(needs));
    }
    if (c.contains("image"))
        return c.contains("pixels") ? with_image(c) : unseen(c);
    return talk(model, c);
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 5)
        return std::fprintf(stderr, "conformance FOLDER OUT.json HOST VERSION\n"), 2;
    folder = argv[1];
    const json all = json::parse(text_of("cases.json"));
    auto model = tin::model::open(path(all["files"]["plain"]));
    if (!model)
        return std::fprintf(stderr, "%s\n", failed(model).c_str()), 1;
    json found = {{"host", argv[3]}, {"version", argv[4]}, {"cases", json::object()}};
    bool good = true;
    for (const json &c : all["cases"]) {
        verdict v = run(all, *model, c);
        good = good && v.empty();
        found["cases"][c["name"].get<std::string>()] = v.empty() ? "passed" : v;
        std::printf("%s: %s\n", c["name"].get<std::string>().c_str(), v.empty() ? "passed" : v.c_str());
    }
    std::ofstream(argv[2]) << found.dump(2) << "\n";
    return good ? 0 : 1;
}
