using System.IO;
using UnrealBuildTool;

// The library comes compiled (see fill): the engine's own flags for C allow inexact arithmetic, which would change bits.
public class Tinsmith : ModuleRules
{
    public Tinsmith(ReadOnlyTargetRules Target) : base(Target)
    {
        PCHUsage = PCHUsageMode.UseExplicitOrSharedPCHs;
        PublicDependencyModuleNames.AddRange(new string[] { "Core", "CoreUObject", "Engine" });

        string Tin = Path.Combine(PluginDirectory, "Source", "ThirdParty", "tin");
        string Library = Path.Combine(Tin, "lib", Target.Platform.ToString());
        PublicSystemIncludePaths.Add(Path.Combine(Tin, "include"));
        PublicDefinitions.Add("TIN_SHARED=1");

        if (Target.Platform == UnrealTargetPlatform.Win64)
        {
            PublicAdditionalLibraries.Add(Path.Combine(Library, "tinhost.lib"));
            RuntimeDependencies.Add("$(TargetOutputDir)/tinhost.dll", Path.Combine(Library, "tinhost.dll"));
        }
        else
        {
            string Shared = Path.Combine(Library, Target.Platform == UnrealTargetPlatform.Mac ? "libtinhost.dylib" : "libtinhost.so");
            PublicAdditionalLibraries.Add(Shared);
            PublicRuntimeLibraryPaths.Add(Library);
            RuntimeDependencies.Add(Shared);
        }
    }
}
