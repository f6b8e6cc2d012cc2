/* The gate as raylib draws it: the guard, what is said, the traveller's line, and how long frames took. */
#ifndef SCENE_HPP
#define SCENE_HPP

#include "guard.hpp"
#include "raylib.h"
#include "samples.hpp"
#include <cmath>

class scene {
  public:
    static constexpr int width = 960, height = 540;

    scene(double budget_us) : model_us_(budget_us / 10), frame_us_(1000), budget_us_(budget_us) {
        SetTraceLogLevel(LOG_WARNING);
        InitWindow(width, height, "The gate");
    }
    ~scene() {
        CloseWindow();
    }
    scene(const scene &) = delete;
    scene &operator=(const scene &) = delete;

    void took(double frame_us, double model_us) {
        frame_us_.add(frame_us);
        model_us_.add(model_us);
    }

    void draw(const guard &him, const std::string &words, double seconds) {
        open_ += ((him.deed() == 0 ? 1.0 : 0.0) - open_) * 0.03;
        BeginDrawing();
        ClearBackground(dusk);
        birds(seconds);
        DrawRectangle(0, 400, width, 140, grass);
        gate();
        DrawCircle(330, 290, 18, skin);
        DrawRectangle(312, 308, 36, 92, coat);
        DrawRectangle(356, 250, 5, 150, wood);
        bubble(him, seconds);
        DrawText(("> " + words + (std::fmod(seconds, 1) < 0.5 ? "_" : "")).c_str(), 24, 424, 20, ink);
        DrawText("Talk him into opening the gate. Enter: say it. Escape: leave.", 24, 500, 16, faint);
        bars(model_us_, 600, "the model's part of a frame", budget_us_);
        bars(frame_us_, 790, "frame to frame", 1e6 / 60);
        EndDrawing();
    }

  private:
    static constexpr int bar_count = 20;
    static constexpr Color dusk{38, 44, 66, 255}, grass{40, 66, 48, 255}, stone{92, 96, 110, 255},
        dark{20, 22, 30, 255}, wood{122, 84, 52, 255}, skin{224, 184, 150, 255}, coat{140, 48, 52, 255},
        paper{238, 234, 220, 255}, ink{240, 240, 240, 255}, faint{150, 160, 180, 255}, gold{230, 190, 90, 255};

    /* They move evenly: a frame that comes late is seen. */
    void birds(double seconds) {
        for (int k = 0; k < 7; k++) {
            float x = static_cast<float>(std::fmod(seconds * (90 + 9 * k) + 140 * k, width + 40) - 20);
            float y = 60 + 14.0f * static_cast<float>(k) + 10 * static_cast<float>(std::sin(seconds * 3 + k));
            float wing = 6 * static_cast<float>(std::sin(seconds * 9 + k));
            DrawLineEx({x - 9, y - wing}, {x, y}, 2, ink);
            DrawLineEx({x, y}, {x + 9, y - wing}, 2, ink);
        }
    }

    void gate() {
        DrawRectangle(60, 160, 230, 240, stone);
        DrawRectangle(110, 220, 130, 180, dark);
        int raised = static_cast<int>(open_ * 165);
        for (int x = 116; x < 240; x += 20)
            DrawRectangle(x, 220, 6, 180 - raised, wood);
        for (int y = 235; y < 400 - raised; y += 36)
            DrawRectangle(110, y, 130, 5, wood);
    }

    void bubble(const guard &him, double seconds) {
        std::string text = him.deed() < 0 ? "" : "The guard " + std::string(guard::deeds[him.deed()]) + ".";
        if (him.now() == guard::mood::decides)
            text = std::string("Hm").append(static_cast<std::size_t>(std::fmod(seconds * 3, 4)), '.');
        DrawRectangleRounded({390, 200, 540, 150}, 0.15f, 8, paper);
        DrawText(text.c_str(), 408, 214, 16, coat);
        std::string line;
        int y = 240;
        std::string_view rest = him.line();
        while (!rest.empty() && y < 330) { /* a word at a time, as wide as the bubble */
            std::size_t end = rest.find_first_of(" \n", 1);
            std::string_view word = rest.substr(0, end);
            if (rest[0] == '\n' || MeasureText((line + std::string(word)).c_str(), 20) > 500) {
                DrawText(line.c_str(), 408, y, 20, dark);
                line.clear();
                y += 26;
                word.remove_prefix(word[0] == ' ' || word[0] == '\n');
            }
            line += word;
            rest.remove_prefix(end == rest.npos ? rest.size() : end);
        }
        DrawText(line.c_str(), 408, y, 20, dark);
    }

    /* Gold: beyond the limit, by more than a bar. */
    void bars(const histogram<bar_count> &times, int x, const char *title, double limit_us) {
        int limit = static_cast<int>(limit_us / times.width());
        DrawText(title, x, 516, 10, faint);
        DrawText(TextFormat("%.1f ms", limit_us / 1000), x + 8 * limit - 16, 408, 10, gold);
        for (int k = 0; k < bar_count; k++) {
            /* The root, so that one late frame of thousands is seen too. */
            int h = static_cast<int>(std::ceil(90 * std::sqrt(times.part(static_cast<std::size_t>(k)))));
            DrawRectangle(x + 8 * k, 510 - h, 7, h, k <= limit ? faint : gold);
        }
    }

    histogram<bar_count> model_us_, frame_us_;
    double budget_us_, open_ = 0;
};

#endif
