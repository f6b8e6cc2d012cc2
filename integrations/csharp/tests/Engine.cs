// As much of UnityEngine as TinCharacter and the sample name, so that they compile and a frame can be driven. It shows
// no more than that: Unity itself is not run here.
using System;
using System.Collections;

namespace UnityEngine
{
    public class Object { }

    public class Component : Object
    {
        public T GetComponent<T>() where T : class, new() { return new T(); }
    }

    public class MonoBehaviour : Component { }

    public static class Application { public static string streamingAssetsPath = ""; }

    public static class Debug
    {
        public static string last = "";
        public static void LogError(object message, Object context) { last = message.ToString(); }
    }

    public struct Rect { public Rect(float x, float y, float width, float height) { } }

    public static class GUILayout
    {
        public static void BeginArea(Rect area) { }
        public static void EndArea() { }
        public static string TextField(string text, int most) { return text; }
        public static bool Button(string text) { return false; }
        public static void Label(string text) { }
    }

    public sealed class TooltipAttribute : Attribute { public TooltipAttribute(string text) { } }
    public sealed class TextAreaAttribute : Attribute { }
    public sealed class AddComponentMenuAttribute : Attribute { public AddComponentMenuAttribute(string at) { } }
    public sealed class RequireComponentAttribute : Attribute { public RequireComponentAttribute(Type type) { } }
}

namespace UnityEngine.Events
{
    public delegate void UnityAction<T>(T value);

    public class UnityEvent<T>
    {
        UnityAction<T> listeners;
        public void AddListener(UnityAction<T> listener) { listeners += listener; }
        public void Invoke(T value) { if (listeners != null) listeners(value); }
    }
}

namespace UnityEngine.Networking
{
    public sealed class DownloadHandler { public byte[] data; public string text; }

    public sealed class UnityWebRequest : IDisposable
    {
        public enum Result { InProgress, Success, ConnectionError }
        public DownloadHandler downloadHandler = new DownloadHandler();
        public Result result;
        public string error;
        public static UnityWebRequest Get(string path) { return new UnityWebRequest(); }
        public object SendWebRequest() { return null; }
        public void Dispose() { }
    }
}
