/* The guard of the gate: what a traveller says becomes a deed, one of those that the game knows, and then a line.
 * Both are computed a slice a frame. */
#ifndef GUARD_HPP
#define GUARD_HPP

#include "tin.hpp"
#include <string>
#include <string_view>

class guard {
  public:
    static constexpr std::string_view deeds[] = {"opens the gate", "asks for the password", "shakes his head",
                                                 "laughs"};
    enum class mood { waits, decides, speaks };

    static tin::result<guard> create(const tin::model &model, const tin::needs &needs) {
        auto session = model.session(needs);
        if (!session)
            return session.error();
        if (auto said = session->say(tin::role::system, brief); !said)
            return said.error();
        /* He speaks freely, whatever the file is held to. */
        if (auto free = session->constrained(false); !free)
            return free.error();
        return guard(std::move(*session));
    }

    /* What the traveller says; whatever the guard was about is dropped. */
    tin::result<> hear(std::string_view words) {
        session_.cancel();
        mood_ = mood::waits;
        heard_ = words;
        line_.clear();
        deed_ = -1;
        /* The brief, the last turn, and this one: as much as a guard remembers. */
        if (session_.messages() > 3)
            if (auto forgot = session_.forget(1); !forgot)
                return forgot;
        if (auto said = session_.say(tin::role::user, words); !said)
            return said;
        if (auto likeliest = session_.sample({}); !likeliest)
            return likeliest;
        auto choosing = session_.choose({deeds, deeds + std::size(deeds)});
        if (choosing)
            mood_ = mood::decides;
        return choosing;
    }

    /* His part of a frame. */
    tin::result<tin::step> think(std::chrono::microseconds budget) {
        auto step = session_.step(budget);
        if (!step)
            mood_ = mood::waits;
        else if (mood_ == mood::speaks && *step != tin::step::pending)
            line_ += session_.piece();
        bool done = step && *step == tin::step::done;
        if (done || (step && sentence())) {
            tokens_ += session_.tokens();
            if (auto next = done ? finish() : cut(); !next)
                return next.error();
        }
        return step;
    }

    mood now() const {
        return mood_;
    }
    int deed() const { /* of deeds, or -1 */
        return deed_;
    }
    const std::string &line() const {
        return line_;
    }
    int tokens() const { /* of all answers so far */
        return tokens_;
    }
    const tin::session &session() const {
        return session_;
    }

  private:
    static constexpr std::string_view brief = "You are the guard of a castle gate. You open it for those who "
                                              "are polite or know the password, which is "
                                              "swordfish. You speak in one short sentence.";
    static constexpr int most_tokens = 40;

    explicit guard(tin::session session) : session_(std::move(session)) {}

    /* Whether his line is a sentence: he is a guard of few words. */
    bool sentence() const {
        return mood_ == mood::speaks && line_.size() > 12 && line_.find_last_of(".!?") == line_.size() - 1;
    }

    tin::result<> cut() {
        session_.cancel();
        mood_ = mood::waits;
        return session_.say(tin::role::assistant, line_);
    }

    tin::result<> finish() {
        if (mood_ == mood::speaks) {
            mood_ = mood::waits;
            return tin::nothing();
        }
        deed_ = session_.chosen();
        mood_ = mood::waits;
        /* His line is to fit his deed: the turn is told again with it. */
        if (auto forgot = session_.forget(session_.messages() - 2); !forgot)
            return forgot;
        if (auto livelier = session_.sample({0.3, 0.9, 1.1, 1}); !livelier)
            return livelier;
        auto asking = session_.ask(heard_ + " (The guard " + std::string(deeds[deed_]) + ".)", most_tokens);
        if (asking)
            mood_ = mood::speaks;
        return asking;
    }

    tin::session session_;
    mood mood_ = mood::waits;
    std::string heard_, line_;
    int deed_ = -1, tokens_ = 0;
};

#endif
