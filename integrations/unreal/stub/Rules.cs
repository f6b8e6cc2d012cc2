// As much of UnrealBuildTool as Tinsmith.Build.cs names, and a run of its rules: each file that they name for a platform
// whose library is there must exist.
using System;
using System.Collections.Generic;
using System.IO;

namespace UnrealBuildTool
{
    public enum PCHUsageMode { UseExplicitOrSharedPCHs }

    public struct UnrealTargetPlatform
    {
        readonly string name;
        UnrealTargetPlatform(string name) { this.name = name; }
        public static readonly UnrealTargetPlatform Win64 = new UnrealTargetPlatform("Win64");
        public static readonly UnrealTargetPlatform Linux = new UnrealTargetPlatform("Linux");
        public static readonly UnrealTargetPlatform Mac = new UnrealTargetPlatform("Mac");
        public static bool operator ==(UnrealTargetPlatform a, UnrealTargetPlatform b) { return a.name == b.name; }
        public static bool operator !=(UnrealTargetPlatform a, UnrealTargetPlatform b) { return a.name != b.name; }
        public override bool Equals(object other) { return other is UnrealTargetPlatform && this == (UnrealTargetPlatform)other; }
        public override int GetHashCode() { return name.GetHashCode(); }
        public override string ToString() { return name; }
    }

    public sealed class ReadOnlyTargetRules { public UnrealTargetPlatform Platform; }

    public sealed class RuntimeDependencyList
    {
        public readonly List<string> Sources = new List<string>();
        public void Add(string path) { Sources.Add(path); }
        public void Add(string path, string source) { Sources.Add(source); }
    }

    public class ModuleRules
    {
        public static string Folder;
        public string PluginDirectory { get { return Folder; } }
        public PCHUsageMode PCHUsage;
        public readonly List<string> PublicDependencyModuleNames = new List<string>();
        public readonly List<string> PublicSystemIncludePaths = new List<string>();
        public readonly List<string> PublicDefinitions = new List<string>();
        public readonly List<string> PublicAdditionalLibraries = new List<string>();
        public readonly List<string> PublicRuntimeLibraryPaths = new List<string>();
        public readonly RuntimeDependencyList RuntimeDependencies = new RuntimeDependencyList();
        public ModuleRules(ReadOnlyTargetRules target) { }
    }

    static class Run
    {
        static int Main(string[] given)
        {
            ModuleRules.Folder = given[0];
            int found = 0;
            foreach (var platform in new[] { UnrealTargetPlatform.Win64, UnrealTargetPlatform.Linux, UnrealTargetPlatform.Mac })
            {
                var rules = new global::Tinsmith(new ReadOnlyTargetRules { Platform = platform });
                string library = rules.PublicAdditionalLibraries[0];
                if (!Directory.Exists(Path.GetDirectoryName(library))) continue;
                foreach (string file in new[] { library, rules.RuntimeDependencies.Sources[0], rules.PublicSystemIncludePaths[0] + "/tin.hpp" })
                    if (!File.Exists(file))
                    {
                        Console.Error.WriteLine(platform + ": the rules name " + file + ", which is not there");
                        return 1;
                    }
                found++;
            }
            return found > 0 ? 0 : 1;
        }
    }
}
