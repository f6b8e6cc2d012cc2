/* Drives the plugin's component as a level would, tick by tick: drive CONTENT_FOLDER. It leaves with 1 where a check fails. */
#include "Misc/Paths.h"
#include "Modules/ModuleManager.h"
#include "TinComponent.h"
#include <codecvt>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <locale>

namespace {
std::string content;
using utf16 = std::wstring_convert<std::codecvt_utf8_utf16<char16_t>, char16_t>;
} // namespace

std::u16string stub::wide(const std::string &text) {
    return utf16().from_bytes(text);
}
std::string stub::narrow(const std::u16string &text) {
    return utf16().to_bytes(text);
}
void stub::log(const TCHAR *, const TCHAR *text) {
    last_error = narrow(text);
}
bool FPaths::IsRelative(const FString &path) {
    return (*path)[0] != u'/';
}
FString FPaths::Combine(const FString &folder, const FString &name) {
    FString joined = folder;
    joined += TEXT("/");
    joined += name;
    return joined;
}
FString FPaths::ProjectContentDir() {
    return UTF8_TO_TCHAR(content);
}

IModuleInterface *stub_module_Tinsmith();

namespace {

void must(bool held, const char *what) {
    if (held)
        return;
    std::fprintf(stderr, "drive: %s (the log says: %s)\n", what, stub::last_error.c_str());
    std::exit(1);
}

/* What an actor's component heard. */
struct listener {
    FString pieces, answer, failure, option;
    int chosen = -1, ends = 0;

    explicit listener(UTinComponent &to) {
        to.OnPiece.Bind([this](const FString &text) { pieces += text; });
        to.OnFinished.Bind([this](const FString &text) { answer = text, ends++; });
        to.OnFailed.Bind([this](const FString &text) { failure = text; });
        to.OnChosen.Bind([this](int32 k, const FString &text) { chosen = k, option = text, ends++; });
    }
};

int ticks(UTinComponent &of) {
    int count = 0;
    for (; of.IsBusy(); count++)
        of.TickComponent(0.016f, LEVELTICK_All, &of.PrimaryComponentTick);
    return count;
}

UTinComponent *born(const TCHAR *file, UTinModel *model = nullptr) {
    UTinComponent *it = NewObject<UTinComponent>();
    it->File = file;
    it->Model = model;
    it->Brief = TEXT("You work the doors of a ship.");
    it->MostTokens = 24;
    it->Budget = 500;
    return it;
}

void refusals() {
    UTinComponent *lost = born(TEXT("nowhere.tin"));
    listener heard(*lost);
    lost->BeginPlay();
    must(stub::last_error.find("nowhere.tin") != std::string::npos && !heard.failure.IsEmpty(),
         "a missing file is not named");
    must(!lost->Ask(TEXT("Who goes there?")), "a component without a file answers");

    UTinComponent *forged = born(TEXT("plain.tin"));
    std::ifstream file(content + "/other.pub");
    forged->Key = UTF8_TO_TCHAR(std::string(std::istreambuf_iterator<char>(file), {}));
    forged->BeginPlay();
    must(!forged->Model && stub::last_error.find("plain.tin") != std::string::npos,
         "a wrong key opens the file");

    UTinComponent *small = born(TEXT("plain.tin"));
    small->MostBytes = 100000;
    small->BeginPlay();
    must(!small->Ask(TEXT("Hello")) && stub::last_error.find("100000") != std::string::npos,
         "too little memory is enough");
}

/* An image of 48 by 36, whose pixels are as integrations/conformance/make.py writes them, as a file and as a render target has it. */
void images() {
    std::ifstream file(content + "/image.png", std::ios::binary);
    TArray<uint8> bytes;
    for (std::istreambuf_iterator<char> at(file), end; at != end; ++at)
        bytes.Add(static_cast<uint8>(*at));
    TArray<FColor> colors;
    const auto drawn = [](int k) { return static_cast<uint8>((7 * k + k / 50) % 256); };
    for (int k = 0; k < 3 * 48 * 36; k += 3)
        colors.Add({drawn(k + 2), drawn(k + 1), drawn(k), 255});
    UTinComponent *vision = born(TEXT("vision.tin"));
    vision->Brief = TEXT("");
    listener heard(*vision);
    must(!vision->Image({1, 2, 3}) && !heard.failure.IsEmpty(), "what is no image is taken");
    must(!vision->Pixels(colors, 47) && !vision->Pixels(colors, 0), "rows of another width are taken");
    for (bool pixels : {false, true}) {
        must(vision->Forget() && (pixels ? vision->Pixels(colors, 48) : vision->Image(bytes)), "it takes no image");
        must(vision->Ask(TEXT("What is it?")) && ticks(*vision) > 0, "it does not answer");
        std::printf("%s %lld\n", stub::narrow(*heard.answer).c_str(),
                    static_cast<long long>(vision->GetDigest()));
    }
}

} // namespace

int main(int, char **argv) {
    content = argv[1];
    std::unique_ptr<IModuleInterface> module(stub_module_Tinsmith());
    module->StartupModule();
    refusals();

    UTinComponent *one = born(TEXT("plain.tin"));
    one->BeginPlay();
    must(one->Model && one->Model->GetAdapters().Num() == 2, "the file has other adapters");
    UTinComponent *two = born(TEXT(""), one->Model); /* one file, two conversations */
    two->BeginPlay();
    listener first(*one), second(*two);

    const TCHAR *asked = TEXT("Please shut the port hatch.");
    must(one->Ask(asked) && ticks(*one) > 1 && first.ends == 1, "an answer does not take several ticks");
    must(first.answer == first.pieces && !first.answer.IsEmpty(), "pieces are not the answer");
    std::printf("%s %lld\n", stub::narrow(*first.answer).c_str(), static_cast<long long>(one->GetDigest()));

    const FString alone = first.answer;

    must(two->Ask(asked), "the second can't ask");
    two->TickComponent(0, LEVELTICK_All, &two->PrimaryComponentTick);
    two->Cancel();
    must(!two->IsBusy() && two->Forget() && two->Ask(asked) && ticks(*two) > 0,
         "it can't be asked after a cancel");
    must(second.answer == first.answer && two->GetDigest() == one->GetDigest(),
         "a cancelled answer changes the next");

    TArray<uint8> state;
    UTinComponent *third = born(TEXT(""), one->Model);
    listener last(*third);
    must(one->Save(state) && third->Restore(state), "it can't be saved and restored");
    must(one->Ask(TEXT("Now open it.")) && ticks(*one) > 0 && third->Ask(TEXT("Now open it.")) &&
             ticks(*third) > 0 && last.answer == first.answer && third->GetDigest() == one->GetDigest(),
         "a restored conversation goes on differently");

    must(two->Choose(TEXT("And now?"), {TEXT("open the hatch"), TEXT("wait")}) && ticks(*two) > 0,
         "it can't choose");
    must(second.chosen >= 0 && second.ends == 2, "nothing was chosen");
    stub::last_error.clear();
    must(!two->Choose(TEXT("Twice?"), {TEXT("wait"), TEXT("wait")}) && !two->IsBusy() &&
             !stub::last_error.empty(),
         "two options that are the same are taken");
    must(two->Forget() && two->Ask(asked) && ticks(*two) > 0 && second.answer == alone,
         "what was not said stays");
    images();
    one->EndPlay(EEndPlayReason::Quit);
    stub::objects.clear();
    return 0;
}
