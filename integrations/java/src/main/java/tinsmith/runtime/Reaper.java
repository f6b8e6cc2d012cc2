package tinsmith.runtime;

import java.lang.ref.PhantomReference;
import java.lang.ref.ReferenceQueue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** Closes what nobody has any more; java.lang.ref.Cleaner, which Android has from 13 on only, in a few lines. */
final class Reaper extends PhantomReference<Object> {
    private static final ReferenceQueue<Object> GONE = new ReferenceQueue<>();
    private static final Set<Reaper> ALL = ConcurrentHashMap.newKeySet();

    static {
        Thread thread = new Thread(Reaper::reap, "tinsmith-reaper");
        thread.setDaemon(true);
        thread.start();
    }

    private final Runnable closing; // which may not know what it closes for

    Reaper(Object of, Runnable closing) {
        super(of, GONE);
        this.closing = closing;
        ALL.add(this);
    }

    /** Closes it now; once. */
    void close() {
        if (!ALL.remove(this)) return;
        clear();
        closing.run();
    }

    private static void reap() {
        try {
            while (true) ((Reaper) GONE.remove()).close();
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }
}
