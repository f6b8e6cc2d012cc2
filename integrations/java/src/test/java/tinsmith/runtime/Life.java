package tinsmith.runtime;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Iterator;
import java.util.List;

/** Handles that are closed, forgotten and shared; what is wrong is an exception with a line: {@code Life TINS}. */
public final class Life {
    private Life() {}

    private interface Attempt {
        void run();
    }

    private static void refuses(Class<? extends Exception> kind, Attempt attempt) {
        try {
            attempt.run();
        } catch (RuntimeException error) {
            if (kind.isInstance(error) && !error.getMessage().isEmpty() && !error.getMessage().contains("\n")) return;
            throw error;
        }
        throw new AssertionError("it was not refused");
    }

    private static void holds(boolean truth, Object what) {
        if (!truth) throw new AssertionError(what);
    }

    public static void main(String[] arguments) throws Exception {
        Path tiny = Path.of(arguments[0], "tiny.tin");
        collected(tiny);
        wrong(tiny);
        extremes(tiny);
        cancelledFromAnotherThread(tiny);
    }

    /** The bytes are a direct buffer's; model and sessions are forgotten without close. */
    private static void collected(Path path) throws IOException, InterruptedException {
        byte[] bytes = Files.readAllBytes(path);
        for (int round = 0; round < 30; round++) {
            Model model = Model.of(ByteBuffer.allocateDirect(bytes.length).put(bytes).flip(), null, null);
            Session session = model.session(new Options().context(128));
            if (round % 2 == 0) model.close();
            System.gc();
            session.ask("Grüße 🙂", 8);
            Answer answer = session.finish();
            holds(answer.tokens() > 0 && session.messages().get(0).text().equals("Grüße 🙂"), answer);
            if (round % 3 == 0) session.close();
        }
        System.gc();
        Thread.sleep(100);
    }

    private static void wrong(Path path) {
        Model model = Model.open(path);
        holds(model.adapters().equals(List.of("a")) && model.entry("nothing") == null, model.adapters());
        Session session = model.session(new Options().context(128));
        refuses(IllegalArgumentException.class, () -> session.ask("a\0b", 8));
        refuses(IllegalArgumentException.class, () -> session.choose(List.of("one\ntwo")));
        refuses(IllegalArgumentException.class, () -> Model.of(ByteBuffer.allocate(8), null, null));
        refuses(TinException.class, () -> session.ask("hello", 0));
        refuses(TinException.class, () -> session.adapter("zebra", 1));
        refuses(TinException.class, () -> session.restore(ByteBuffer.wrap(new byte[100])));
        refuses(TinException.class, () -> Model.of(ByteBuffer.allocateDirect(100), null, null));
        session.close();
        session.close();
        model.close();
        refuses(IllegalStateException.class, () -> session.ask("hello", 8));
        refuses(IllegalStateException.class, model::session);
    }

    /** Steps of a budget to the end: how many. The answer is the same by all. */
    private static int steps(Session session, Duration budget, long digest) {
        session.forget(0);
        session.ask("hello", 24);
        int steps = 1;
        while (session.step(budget) != Step.DONE) steps++;
        holds(digest == 0 || session.answer().digest() == digest, budget);
        return steps;
    }

    /** Numbers and budgets at their extremes, at each argument. */
    private static void extremes(Path path) {
        try (Model model = Model.open(path); Session session = model.session(new Options().context(256))) {
            session.constrained(false);
            steps(session, Duration.ZERO, 0);
            long digest = session.answer().digest();
            for (Duration budget : List.of(Duration.ofSeconds(Long.MAX_VALUE), Duration.ofNanos(Long.MAX_VALUE), Duration.ofDays(99_999)))
                holds(steps(session, budget, digest) == 1, budget);
            for (Duration budget : List.of(Duration.ofNanos(1), Duration.ofNanos(999), Duration.ofNanos(1001), Duration.ofNanos(-1),
                    Duration.ofSeconds(-1), Duration.ofSeconds(Long.MIN_VALUE)))
                holds(steps(session, budget, digest) > 24, budget);

            for (int odd : new int[] {Integer.MAX_VALUE, Integer.MIN_VALUE, -1}) {
                refuses(TinException.class, () -> session.forget(odd));
                refuses(TinException.class, () -> session.dutyCycle(odd));
                refuses(TinException.class, () -> model.session(new Options().threads(odd)));
                refuses(TinException.class, () -> model.session(new Options().adapters(odd)));
                refuses(TinException.class, () -> session.pixels(ByteBuffer.allocateDirect(12), odd, 2, 3));
                refuses(TinException.class, () -> session.pixels(ByteBuffer.allocateDirect(12), 2, 2, odd));
                if (odd < 0) refuses(TinException.class, () -> session.begin(odd));
            }
            for (double odd : new double[] {Double.NaN, Double.POSITIVE_INFINITY, Double.MAX_VALUE, -65536}) {
                refuses(TinException.class, () -> session.adapter("a", odd));
                refuses(TinException.class, () -> session.sampling(odd, 1, 1, 0));
                refuses(TinException.class, () -> session.sampling(0, odd, 1, 0));
                refuses(TinException.class, () -> session.sampling(0, 1, odd, 0));
            }
            refuses(TinException.class, () -> model.session(new Options().mostBytes(Long.MIN_VALUE)));
            session.adapter("a", 1e-60); // which is 0 in float32
            holds(session.messages().size() == 2, session.messages());
            session.begin(Integer.MAX_VALUE); // as many as there is room for
            session.cancel();
            for (List<String> options : List.of(List.<String>of(), List.of(""), List.of("yes", ""), List.of("", "yes"), List.of("yes", "yes")))
                refuses(TinException.class, () -> session.choose(options));
            steps(session, Duration.ZERO, digest);
        }
    }

    private static void cancelledFromAnotherThread(Path path) throws InterruptedException {
        try (Model model = Model.open(path); Session session = model.session()) {
            session.ask("hello", 512);
            Iterator<String> pieces = session.pieces().iterator();
            pieces.next();
            Thread other = new Thread(session::cancel);
            other.start();
            other.join();
            holds(session.step(Duration.ZERO) == Step.IDLE && !pieces.hasNext(), "it goes on");
            holds(session.messages().size() == 1, session.messages());
        }
    }
}
