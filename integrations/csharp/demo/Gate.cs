// The gate, on a terminal: what you say becomes a deed of the guard's, and then a line, in two milliseconds of each of
// 60 frames a second. Gate.exe FILE.tin [KEY]; an empty line, or the end of the input, leaves.
using System;
using System.Diagnostics;
using System.Threading;
using Tinsmith;

static class Gate
{
    const long Budget = 2000; // microseconds a frame
    static readonly string[] deeds = { "opens the gate", "asks for the password", "shakes his head", "laughs" };

    // A game's loop, in which the guard has his slice. Returns the longest that he took, in milliseconds.
    static double Frames(TinSession guard, Action<string> piece)
    {
        var watch = new Stopwatch();
        double longest = 0;
        for (bool more = true; more;)
        {
            watch.Restart();
            TinStep step = guard.Step(Budget);
            longest = Math.Max(longest, watch.Elapsed.TotalMilliseconds);
            more = step == TinStep.Pending || step == TinStep.Piece;
            if (step != TinStep.Pending) piece(guard.Piece);
            // A game moves and draws here.
            double left = 1000.0 / 60 - watch.Elapsed.TotalMilliseconds;
            if (more && left > 1) Thread.Sleep((int)left);
        }
        return longest;
    }

    static void Turn(TinSession guard, string words)
    {
        if (guard.Messages > 3) guard.Forget(1); // all but his brief
        guard.Sampling(0);
        guard.Say(TinRole.User, words);
        guard.Choose(deeds);
        double longest = Frames(guard, piece => { });
        string deed = "The guard " + deeds[guard.Chosen] + ".";
        Console.WriteLine(deed);

        // His line is to fit his deed: the turn is told again with it.
        guard.Forget(guard.Messages - 2);
        guard.Sampling(0.3, 0.9, 1.1, 1);
        guard.Ask(words + " (" + deed + ")", 40);
        longest = Math.Max(longest, Frames(guard, Console.Write));
        Console.WriteLine("\n[longest slice of a frame: {0:0.0} ms]", longest);
    }

    static int Main(string[] given)
    {
        if (given.Length < 1)
        {
            Console.Error.WriteLine("gate: give a .tin: Gate.exe FILE.tin [KEY]");
            return 2;
        }
        try
        {
            using (TinModel model = TinModel.Open(given[0], given.Length > 1 ? given[1] : null))
            using (TinSession guard = model.Session(512))
            {
                guard.Constrained(false);
                guard.Say(TinRole.System, "You are the guard of a castle gate. You open it for those who are polite or "
                    + "know the password, which is swordfish. You speak in one short sentence.");
                Console.WriteLine("You stand before a gate, and a guard before you.");
                for (;;)
                {
                    Console.Write("> ");
                    string words = Console.ReadLine();
                    if (string.IsNullOrEmpty(words)) return 0;
                    Turn(guard, words);
                }
            }
        }
        catch (TinException error)
        {
            Console.Error.WriteLine("gate: " + error.Message);
            return 1;
        }
    }
}
