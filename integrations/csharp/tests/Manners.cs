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

    // Steps of a budget to the end: how many. The answer is the same by all.
    static int Steps(TinSession s, Func<TinStep> step, long digest)
    {
        s.Forget();
        s.Ask("Three.", 24);
        int steps = 1;
        while (step() != TinStep.Done) steps++;
        Must(digest == 0 || s.Digest == digest, "a budget gives another answer");
        return steps;
    }

    // Numbers and budgets at their extremes, at each argument.
    static void Extremes(TinModel model, TinSession s)
    {
        s.Constrained(false);
        Steps(s, () => s.Step(long.MaxValue), 0);
        long digest = s.Digest;
        foreach (long budget in new[] { long.MaxValue, long.MaxValue / 1000, 1L << 53 })
            Must(Steps(s, () => s.Step(budget), digest) == 1, budget + " us were not enough");
        Must(Steps(s, () => s.Step(TimeSpan.MaxValue), digest) == 1, "the longest span was not enough");
        foreach (long budget in new[] { 0, -1, long.MinValue, 1 })
            Must(Steps(s, () => s.Step(budget), digest) > 24, budget + " us were no bound");
        foreach (long ticks in new[] { 0, 1, 9, 11, -1, -9, long.MinValue })
            Must(Steps(s, () => s.Step(new TimeSpan(ticks)), digest) > 24, ticks + " ticks were no bound");

        foreach (int odd in new[] { int.MaxValue, -1, int.MinValue })
        {
            Must(Caught(() => s.Forget(odd)) != null && Caught(() => s.DutyCycle(odd)) != null, odd + " was taken");
            Must(Caught(() => model.Session(threads: odd)) != null, odd + " threads were taken");
            Must(Caught(() => model.Session(adapters: odd)) != null, odd + " adapters were taken");
            Must(Caught(() => s.Pixels(new byte[12], odd, 2, 3)) != null, "a width of " + odd + " was taken");
            Must(odd > 0 || Caught(() => s.Begin(odd)) != null, odd + " tokens were taken");
        }
        foreach (double odd in new[] { double.NaN, double.PositiveInfinity, double.MaxValue, -65536 })
        {
            Must(Caught(() => s.Adapter("a", odd)) != null, "a scale of " + odd + " was taken");
            Must(Caught(() => s.Sampling(odd)) != null, "a temperature of " + odd + " was taken");
            Must(Caught(() => s.Sampling(0, odd)) != null, "a share of " + odd + " was taken");
            Must(Caught(() => s.Sampling(0, 1, odd)) != null, "a penalty of " + odd + " was taken");
        }
        Must(Caught(() => model.Session(mostBytes: long.MinValue)) != null, "less than no memory was taken");
        s.Adapter("a", 1e-60); // which is 0 in float32
        Must(s.Messages == 2, "messages were forgotten");
        s.Begin(int.MaxValue); // as many as there is room for
        s.Cancel();
        foreach (string options in new[] { "", "yes,", ",yes", "yes,,no", "yes,yes" })
            Must(Caught(() => s.Choose(options.Split(','))) != null, "options " + options + " were taken");
        Steps(s, () => s.Step(long.MaxValue), digest);
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
            Extremes(model, s);
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
