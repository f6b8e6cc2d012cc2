#pragma once
#include "CoreMinimal.h"

struct FPaths {
    static bool IsRelative(const FString &path);
    static FString Combine(const FString &folder, const FString &name);
    static FString ProjectContentDir();
    static FString ConvertRelativePathToFull(const FString &path) {
        return path;
    }
};
