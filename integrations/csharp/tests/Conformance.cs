// The conformance cases through Tin.cs: Conformance.exe FOLDER OUT.json VERSION. It leaves with 1 where one fails.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Web.Script.Serialization;
using Tinsmith;
using Map = System.Collections.Generic.Dictionary<string, object>;

static class Conformance
{
    sealed class Wrong : Exception
    {
        public Wrong(string what) : base(what) { }
    }

    const int Context = 512;
    static string folder, plain;

    static string Text(string name)
    {
        return File.ReadAllText(Path.Combine(folder, name));
    }

    static void Equal(string what, object expected, object found)
    {
        if (Convert.ToString(expected) != Convert.ToString(found))
            throw new Wrong(what + " is " + found + ", not " + expected);
    }

    static void Compare(object expect, TinSession s)
    {
        var found = new Map
        {
            { "text", s.Answer }, { "tokens", s.Tokens }, { "finish", (int)s.Finish }, { "digest", s.Digest },
            { "chosen", s.Chosen }
        };
        foreach (var wanted in (Map)expect) Equal(wanted.Key, wanted.Value, found[wanted.Key]);
    }

    static void Refused(object expect, Action call)
    {
        var wanted = (Map)expect;
        try
        {
            call();
        }
        catch (TinException error)
        {
            Equal("status", wanted["status"], (int)error.Status);
            if (!error.Message.Contains((string)wanted["says"])) throw new Wrong("the error says: " + error.Message);
            return;
        }
        throw new Wrong("it was not refused");
    }

    static void Answer(TinSession s, Map c, object expect)
    {
        s.Begin((int)c["max_tokens"]);
        s.Wait();
        Compare(expect, s);
    }

    static void Budget(TinSession s, Map c)
    {
        s.Begin((int)c["max_tokens"]);
        string pieces = "";
        int frames = 0;
        // As Unity drives a coroutine: a step a frame.
        for (var coroutine = s.Frames((int)c["budget_us"], piece => pieces += piece); coroutine.MoveNext();) frames++;
        if (frames < 10) throw new Wrong("it took " + frames + " frames, as if there were no budget");
        Equal("pieces", ((Map)c["expect"])["text"], pieces);
        Compare(c["expect"], s);
    }

    static void Cancel(TinSession s, Map c)
    {
        s.Begin((int)c["max_tokens"]);
        while (s.Tokens < (int)c["after_tokens"])
            if (s.Step(new TimeSpan(2000)) == TinStep.Done) throw new Wrong("done before it could be cancelled");
        s.Cancel();
        Equal("messages", ((System.Collections.ArrayList)c["messages"]).Count, s.Messages);
        Answer(s, c, c["expect"]);
    }

    static void Restore(TinModel model, TinSession s, Map c)
    {
        Answer(s, c, c["expect"]);
        byte[] state = s.Save();
        using (TinSession other = model.Session(Context))
        {
            try
            {
                other.Restore(state.Take(state.Length - 1).ToArray());
                throw new Wrong("a torn state was restored");
            }
            catch (TinException) { }
            other.Restore(state);
            foreach (TinSession each in new[] { s, other })
            {
                each.Ask((string)c["next"], (int)c["max_tokens"]);
                each.Wait();
                Compare(c["then"], each);
            }
        }
    }

    static void Key(Map c)
    {
        string path = Path.Combine(folder, plain);
        Refused(c["expect"], () => TinModel.Open(path, Text((string)c["wrong"])).Dispose());
        TinModel.Open(path, Text((string)c["right"])).Dispose();
        byte[] file = File.ReadAllBytes(path);
        TinModel.Open(file, Text(plain + ".minisig"), Text((string)c["right"])).Dispose();
    }

    static void Talk(TinModel model, Map c)
    {
        using (TinSession s = model.Session(Context))
        {
            foreach (Map m in (System.Collections.IEnumerable)c["messages"])
                s.Say((string)m["role"] == "system" ? TinRole.System : TinRole.User, (string)m["content"]);
            switch ((string)c["name"])
            {
                case "budget": Budget(s, c); return;
                case "cancel": Cancel(s, c); return;
                case "restore": Restore(model, s, c); return;
                case "choose":
                    s.Choose(((System.Collections.ArrayList)c["options"]).Cast<string>().ToArray());
                    s.Wait();
                    Compare(c["expect"], s);
                    return;
                case "unconstrained":
                    var by = (Map)c["sampling"];
                    s.Constrained((bool)c["constrained"]);
                    s.Sampling(Convert.ToDouble(by["temperature"]), Convert.ToDouble(by["top_p"]),
                        Convert.ToDouble(by["repetition"]), (int)by["seed"]);
                    break;
                case "adapter":
                    s.Adapter((string)c["adapter"]);
                    Answer(s, c, c["expect"]);
                    s.Forget(s.Messages - 1);
                    s.Adapter(null);
                    Answer(s, c, c["then"]);
                    return;
            }
            Answer(s, c, c["expect"]);
        }
    }

    /// A session of the case's own file, for an image.
    static TinSession SessionOf(Map c)
    {
        using (TinModel model = TinModel.Open(Path.Combine(folder, (string)c["file"]))) return model.Session(Context);
    }

    static byte[] Bytes(Map c, string field)
    {
        return File.ReadAllBytes(Path.Combine(folder, (string)c[field]));
    }

    /// By the image's file, and by its pixels.
    static void ImagePrompt(Map c)
    {
        foreach (bool isFile in new[] { true, false })
            using (TinSession s = SessionOf(c))
            {
                if (isFile) s.Image(Bytes(c, "image"));
                else s.Pixels(Bytes(c, "pixels"), (int)c["width"], (int)c["height"], 3);
                s.Say(TinRole.User, (string)c["text"]);
                Answer(s, c, c["expect"]);
            }
    }

    static void Unseen(Map c)
    {
        using (TinSession s = SessionOf(c)) Refused(c["expect"], () => s.Image(Bytes(c, "image")));
    }

    static void Run(TinModel model, Map c)
    {
        switch ((string)c["name"])
        {
            case "missing":
                Refused(c["expect"], () => TinModel.Open(Path.Combine(folder, (string)c["file"])).Dispose());
                break;
            case "key":
                Key(c);
                break;
            case "memory":
                Refused(c["expect"], () => model.Session(mostBytes: (int)c["most_bytes"]).Dispose());
                break;
            case "image":
                ImagePrompt(c);
                break;
            case "damaged":
            case "large":
            case "blind":
                Unseen(c);
                break;
            default:
                Talk(model, c);
                break;
        }
    }

    static int Main(string[] given)
    {
        folder = given[0];
        var json = new JavaScriptSerializer();
        var all = json.Deserialize<Map>(Text("cases.json"));
        plain = (string)((Map)all["files"])["plain"];
        var results = new Map();
        using (TinModel model = TinModel.Open(Path.Combine(folder, plain)))
            foreach (Map c in (System.Collections.IEnumerable)all["cases"])
            {
                string result = "passed";
                try
                {
                    Run(model, c);
                }
                catch (Exception error) when (error is Wrong || error is TinException)
                {
                    result = error.Message;
                }
                results[(string)c["name"]] = result;
                Console.WriteLine(c["name"] + ": " + result);
            }
        File.WriteAllText(given[1], json.Serialize(new Map { { "host", "C#" }, { "version", given[2] }, { "cases", results } }));
        return results.Values.All(r => (string)r == "passed") ? 0 : 1;
    }
}
