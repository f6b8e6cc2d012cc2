#pragma once
#include "CoreMinimal.h"

enum ELevelTick { LEVELTICK_TimeOnly, LEVELTICK_All };

namespace EEndPlayReason {
enum Type { Destroyed, Quit };
}

struct FActorComponentTickFunction {
    bool bCanEverTick = false;
};

class UActorComponent : public UObject {
  public:
    using Super = UActorComponent; /* what GENERATED_BODY gives to a class below it */
    FActorComponentTickFunction PrimaryComponentTick;
    virtual void BeginPlay() {}
    virtual void EndPlay(const EEndPlayReason::Type) {}
    virtual void TickComponent(float, ELevelTick, FActorComponentTickFunction *) {}
};
