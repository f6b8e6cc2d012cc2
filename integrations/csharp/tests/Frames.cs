// TinCharacter driven frame by frame, as an engine would: Frames.exe FOLDER TIN. It leaves with 1 where something fails.
using System;
using System.Collections;
using System.Reflection;
using Tinsmith;
using UnityEngine;

static class Frames
{
    static object Call(TinCharacter it, string name)
    {
        return typeof(TinCharacter).GetMethod(name, BindingFlags.Instance | BindingFlags.NonPublic).Invoke(it, null);
    }

    static TinCharacter Born(string file)
    {
        var it = new TinCharacter { file = file, brief = "You are a guard.", budget = 500, mostTokens = 8, context = 256 };
        it.onFailed.AddListener(why => Debug.last = why);
        for (var start = (IEnumerator)Call(it, "Start"); start.MoveNext();) { }
        return it;
    }

    static int Main(string[] given)
    {
        Application.streamingAssetsPath = given[0];
        TinCharacter lost = Born("nowhere.tin");
        if (lost.Session != null || !Debug.last.Contains("nowhere.tin")) return 1;

        TinCharacter him = Born(given[1]);
        string pieces = "", answer = null;
        int chosen = -1, frames = 0;
        him.onPiece.AddListener(piece => pieces += piece);
        him.onAnswer.AddListener(text => answer = text);
        him.onChoice.AddListener(k => chosen = k);
        him.Choose("May I come in?", "opens the gate", "laughs");
        for (; him.Busy; frames++) Call(him, "Update");
        if (chosen < 0 || frames < 2) return 1;

        int before = him.Session.Messages;
        him.Choose("And now?", "twice", "twice");
        if (him.Busy || him.Session.Messages != before || Debug.last.Length == 0) return 1;

        him.Session.Forget(1);
        him.Session.Constrained(false);
        pieces = "";
        him.Ask("Who are you?");
        for (; him.Busy; frames++) Call(him, "Update");
        if (answer == null || answer != pieces) return 1;
        Console.WriteLine("deed {0}, then {1} tokens, in {2} frames", chosen, him.Session.Tokens, frames);
        him.Restore(him.Save());
        Call(him, "OnDestroy");
        return 0;
    }
}
