// What is C#'s own: async, finalizers, texts, closing in any order. Manners.exe TINY.tin; it leaves with 1 where one fails.
using System;
using System.IO;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Threading;
using Tinsmith;

static class Manners
{
    static string path;

    static void Must(bool held, string what)
    {
        if (held) return;
        Console.Error.WriteLine("Manners: " + what);
        Environment.Exit(1);
    }

    static TinException Caught(Action call)
    {
        try
        {
            call();
        }
        catch (TinException error)
        {
            return error;
        }
        return null;
    }

    static void Async(TinSession s)
    {
        s.Ask("One.", 16);
        string whole = s.Wait();
        s.Forget();
        s.Ask("One.", 16);
        Must(s.AnswerAsync(50).Result == whole, "async gives another answer");

        s.Forget();
        s.Ask("One.", 16);
        var stop = new CancellationTokenSource();
        stop.Cancel();
        bool stopped = false;
        try
        {
            s.AnswerAsync(1, stop.Token).Wait();
        }
        catch (AggregateException error)
        {
            stopped = error.InnerException is OperationCanceledException;
        }
        Must(stopped && s.Step(1) == TinStep.Idle, "a stopped task leaves the answer under way");
        s.Forget();
    }

    static void Texts(TinSession s)
    {
        s.Say(TinRole.User, "Grüße, 世界 😀");
        Must(s.Message(0) == "Grüße, 世界 😀" && s.MessageRole(0) == TinRole.User, "a text came back as another");
        Must(s.Message(1) == null, "there is a message past the end");
        Must(Caught(() => s.Say(TinRole.User, "a\0b")).Status == TinStatus.Argument, "a NUL was taken");
        Must(Caught(() => s.Say(TinRole.User, "\uD800")).Status == TinStatus.Text, "half a pair was taken");
        Must(Caught(() => s.Choose("yes", "no\nmaybe")).Status == TinStatus.Argument, "an option of two lines was taken");
        s.Forget();
    }

    static void Copies(TinModel model, TinSession s)
    {
        using (TinSession fork = model.Session(256))
        {
            s.Ask("Two.", 16);
            fork.CopyFrom(s);
            Must(fork.Messages == 1, "a copy has other messages");
            fork.Begin(16);
            Must(fork.Wait() == s.Wait() && fork.Digest == s.Digest, "a copy goes on differently");
        }
        s.Forget();
    }

    // Whoever forgets to dispose: the finalizers close files.
    [MethodImpl(MethodImplOptions.NoInlining)]
    static void Leave()
    {
        for (int k = 0; k < 40; k++) TinModel.Open(path).Session(64).Say(TinRole.User, "left");
    }

    static int Mapped()
    {
        return File.ReadAllLines("/proc/self/maps").Count(line => line.EndsWith(Path.GetFileName(path)));
    }

    static int Main(string[] given)
    {
        path = given[0];
        TinModel model = TinModel.Open(path);
        Must(model.Adapters.SequenceEqual(new[] { "a" }) && model.Isa.Length > 0, "the file is another");
        Must(model.Entry("manifest.json").StartsWith("{") && model.Entry("nothing") == null, "entries are others");
        TinModel packed = TinModel.Open(File.ReadAllBytes(path));
        Must(packed.Fingerprint == model.Fingerprint, "the file in memory is another");
        using (TinSession s = packed.Session(256))
        {
            packed.Dispose(); // its memory stays until the session is closed
            Async(s);
            Texts(s);
        }
        using (TinSession s = model.Session(256))
        {
            Copies(model, s);
            Must(Caught(() => s.Adapter("z")).Message.Contains("z"), "an unknown adapter is not named");
        }
        model.Dispose();
        Must(Mapped() == 0, "a closed file is still mapped");

        Leave();
        for (int k = 0; k < 4 && Mapped() > 0; k++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
        Must(Mapped() < 4, Mapped() + " of 40 files were left open"); // the stack may still hold one or two
        return 0;
    }
}
