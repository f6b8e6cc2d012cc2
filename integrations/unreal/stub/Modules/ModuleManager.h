#pragma once
#include "CoreMinimal.h"

class IModuleInterface {
  public:
    virtual ~IModuleInterface() = default;
    virtual void StartupModule() {}
};
class FDefaultModuleImpl : public IModuleInterface {};

#define IMPLEMENT_MODULE(implementation, name) \
    IModuleInterface *stub_module_##name() {   \
        return new implementation();           \
    }                                          \
    static_assert(true)
