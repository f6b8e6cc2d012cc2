package tinsmith.runtime;

import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;

/**
 * A conversation. Its methods may be called from any thread, and wait for each other; so a {@link #cancel} comes between two
 * pieces, or two steps.
 */
public final class Session implements AutoCloseable {
    private final Closing closing;
    private final Reaper reaper;

    private static final class Closing implements Runnable {
        private long handle;
        private final Model.Closing model; // has the file's bytes

        Closing(long handle, Model.Closing model) {
            this.handle = handle;
            this.model = model;
        }

        @Override
        public synchronized void run() {
            Native.sessionClose(handle);
            handle = 0;
        }
    }

    Session(Model model, long handle) {
        int status = Native.status(handle);
        if (status < 0) {
            String message = Texts.string(Native.error(handle));
            Native.sessionClose(handle);
            throw new TinException(status, message);
        }
        closing = new Closing(handle, model.closing);
        reaper = new Reaper(this, closing);
    }

    private interface Call {
        int of(long handle);
    }

    private int call(Call call) {
        synchronized (closing) {
            if (closing.handle == 0) throw new IllegalStateException("the session is closed");
            int status = call.of(closing.handle);
            if (status < 0) throw new TinException(status, Texts.string(Native.error(closing.handle)));
            return status;
        }
    }

    /** Puts an adapter of the file to work at a scale: 1 as it was trained, 0 takes it off; null takes off all. */
    public void adapter(String name, double scale) {
        byte[] text = Texts.bytes(name);
        call(handle -> Native.adapter(handle, text, scale));
    }

    /** Whether answers are held to the file's or the adapter's constraint, as a session begins. */
    public void constrained(boolean on) {
        call(handle -> Native.constrained(handle, on ? 1 : 0));
    }

    /**
     * How tokens are chosen from now on.
     *
     * @param temperature 0: the likeliest each time, as a session begins
     * @param repetition a penalty on tokens that were there; 1: none
     */
    public void sampling(double temperature, double topP, double repetition, long seed) {
        call(handle -> Native.sampling(handle, temperature, topP, repetition, seed));
    }

    /** Percent of the time, 1 to 100, that its threads work at most where a step has no budget. */
    public void dutyCycle(int percent) {
        call(handle -> Native.dutyCycle(handle, percent));
    }

    /** TRUE: the model thinks first; FALSE: it does not; null: its template decides. */
    public void think(Boolean first) {
        call(handle -> Native.think(handle, first == null ? 0 : first ? 1 : 2));
    }

    /** Adds a message. */
    public void say(Message.Role role, String text) {
        byte[] bytes = Texts.bytes(text);
        call(handle -> Native.say(handle, role.ordinal(), bytes));
    }

    /** Puts an image, a PNG or JPEG file's bytes, before the text of the user's message that comes next. */
    public void image(ByteBuffer file) {
        ByteBuffer direct = direct(file);
        call(handle -> Native.image(handle, direct));
    }

    /** As image, of pixels: rows of 3 bytes a pixel (RGB), or 4 (RGBA). */
    public void pixels(ByteBuffer pixels, int width, int height, int channels) {
        ByteBuffer direct = direct(pixels);
        call(handle -> Native.pixels(handle, direct, width, height, channels));
    }

    private static ByteBuffer direct(ByteBuffer given) {
        return given.isDirect() ? given.slice() : ByteBuffer.allocateDirect(given.remaining()).put(given.duplicate());
    }

    /** Forgets all messages from the k-th on. */
    public void forget(int k) {
        call(handle -> Native.forget(handle, k));
    }

    public List<Message> messages() {
        synchronized (closing) {
            List<Message> messages = new ArrayList<>();
            for (int k = 0; k < Native.messages(closing.handle); k++)
                messages.add(new Message(
                        Message.Role.values()[Native.messageRole(closing.handle, k)],
                        Texts.string(Native.message(closing.handle, k))));
            return messages;
        }
    }

    /** Begins an answer to the messages. Nothing is computed before a step. */
    public void begin(int mostTokens) {
        call(handle -> Native.begin(handle, mostTokens));
    }

    /** Says a text as the user, and begins an answer. */
    public void ask(String text, int mostTokens) {
        byte[] bytes = Texts.bytes(text);
        call(handle -> Native.ask(handle, bytes, mostTokens));
    }

    /** Begins what goes on from a text as it is, without a chat template. It becomes no message. */
    public void complete(String text, int mostTokens) {
        byte[] bytes = Texts.bytes(text);
        call(handle -> Native.complete(handle, bytes, mostTokens));
    }

    /** Answers with one of some options, each one line, and returns which. */
    public int choose(List<String> options) {
        for (String option : options)
            if (option.indexOf('\n') >= 0) throw new IllegalArgumentException("an option is one line: " + option.replace("\n", "\\n"));
        byte[] lines = Texts.bytes(String.join("\n", options) + "\n");
        call(handle -> Native.choose(handle, lines));
        finish();
        synchronized (closing) {
            return Native.chosen(closing.handle);
        }
    }

    /**
     * Goes on with the answer for about a budget; zero: until there is a piece, or the end. A negative one, as what is left of
     * a frame that is over, does the least that makes progress.
     */
    public Step step(Duration budget) {
        long microseconds = microseconds(budget);
        return Step.values()[call(handle -> Native.step(handle, microseconds))];
    }

    private static final Duration LONGEST = Duration.ofDays(100_000);

    /** A part of a microsecond is a whole one: 0 is no bound. */
    private static long microseconds(Duration budget) {
        if (budget.isNegative()) return -1;
        if (budget.compareTo(LONGEST) > 0) return Long.MAX_VALUE;
        return (budget.toNanos() + 999) / 1000;
    }

    /** What the last step added to the answer, in whole characters. */
    public String piece() {
        synchronized (closing) {
            return Texts.string(Native.piece(closing.handle));
        }
    }

    /** The pieces to come, each computed when it is asked for. Leave it early and the answer stays under way. */
    public Iterable<String> pieces() {
        return Pieces::new;
    }

    private final class Pieces implements Iterator<String> {
        private String next = "";
        private boolean over;

        @Override
        public boolean hasNext() {
            while (next.isEmpty() && !over) {
                synchronized (closing) {
                    Step step = step(Duration.ZERO);
                    over = step == Step.DONE || step == Step.IDLE;
                    if (step != Step.IDLE) next = piece();
                }
            }
            return !next.isEmpty();
        }

        @Override
        public String next() {
            if (!hasNext()) throw new NoSuchElementException("the answer is complete");
            String piece = next;
            next = "";
            return piece;
        }
    }

    /** The answer once all of it has come. */
    public Answer finish() {
        for (Iterator<String> pieces = new Pieces(); pieces.hasNext(); ) pieces.next();
        return answer();
    }

    /** The answer so far. */
    public Answer answer() {
        synchronized (closing) {
            long handle = closing.handle;
            return new Answer(
                    Texts.string(Native.answer(handle)), Answer.Finish.values()[Native.finish(handle)],
                    Native.tokens(handle), Native.passes(handle), Native.digest(handle));
        }
    }

    /** Drops the answer under way: its messages stay. */
    public void cancel() {
        synchronized (closing) {
            Native.cancel(closing.handle);
        }
    }

    /** Bytes of memory of the session: all that it will take but for the conversation's texts. */
    public long bytes() {
        synchronized (closing) {
            return Native.sessionBytes(closing.handle);
        }
    }

    /** Messages, adapters and caches, in a direct buffer. An answer under way is not part of it. */
    public ByteBuffer save() {
        synchronized (closing) {
            ByteBuffer out = ByteBuffer.allocateDirect(Math.toIntExact(Native.saveSize(closing.handle)));
            call(handle -> Native.save(handle, out));
            return out;
        }
    }

    /** What {@link #save} wrote for a session of the same file, on any machine. On failure nothing changes. */
    public void restore(ByteBuffer saved) {
        ByteBuffer direct = direct(saved);
        call(handle -> Native.restore(handle, direct));
    }

    /** Becomes what another session of the model is, which nobody uses meanwhile: a fork, or a state to roll back to. */
    public void copyFrom(Session from) {
        call(handle -> Native.copy(handle, from.closing.handle));
        Reference.reachabilityFence(from);
    }

    @Override
    public void close() {
        reaper.close();
    }
}
