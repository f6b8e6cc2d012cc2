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
