package tinsmith.runtime;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * An open file. Any number of threads may use it. It is closed by {@link #close}, or when nobody has it any more; sessions
 * that are open keep it.
 */
public final class Model implements AutoCloseable {
    static {
        // Names the folder that has libtinsmith and libtinhost; else java.library.path has them, or the app.
        String folder = System.getProperty("tinsmith.libraries");
        for (String name : new String[] {"tinhost", "tinsmith"}) {
            if (folder == null) System.loadLibrary(name);
            else System.load(new File(folder, System.mapLibraryName(name)).getAbsolutePath());
        }
    }

    final Closing closing;
    private final Reaper reaper;

    /** What closes the handle, which may not know the model. */
    static final class Closing implements Runnable {
        private long handle;
        private final ByteBuffer file; // which stays until here, and until its last session is closed

        Closing(long handle, ByteBuffer file) {
            this.handle = handle;
            this.file = file;
        }

        @Override
        public synchronized void run() {
            Native.close(handle);
            handle = 0;
        }
    }

    private Model(long handle, ByteBuffer file) {
        int status = Native.modelStatus(handle);
        if (status < 0) {
            String message = Texts.string(Native.modelError(handle));
            Native.close(handle);
            throw new TinException(status, message);
        }
        closing = new Closing(handle, file);
        reaper = new Reaper(this, closing);
    }

    /** Opens a .tin, checked as any untrusted file. It is mapped, not read. */
    public static Model open(Path path) {
        return open(path, null);
    }

    /** Opens a .tin that the owner of minisign's public key ("RW...") signed; any other is refused. */
    public static Model open(Path path, String key) {
        return new Model(Native.open(Texts.bytes(path.toString()), Texts.bytes(key)), null);
    }

    /**
     * Opens a .tin in a direct buffer, such as a mapped asset of an app. Nobody may write to it while the model is open.
     *
     * @param signature the text of its .minisig file, or null
     * @param key minisign's public key, or null
     */
    public static Model of(ByteBuffer file, String signature, String key) {
        if (!file.isDirect()) throw new IllegalArgumentException("the buffer is not direct; use ByteBuffer.allocateDirect");
        ByteBuffer bytes = file.slice();
        long handle = Native.openMemory(bytes, Texts.bytes(signature), Texts.bytes(key));
        return new Model(handle, bytes);
    }

    /** An empty conversation, held to the file's own constraint where it has one. */
    public Session session() {
        return session(new Options());
    }

    public Session session(Options options) {
        Objects.requireNonNull(options, "options");
        synchronized (closing) {
            if (closing.handle == 0) throw new IllegalStateException("the model is closed");
            return new Session(this, Native.sessionOpen(
                    closing.handle, options.context, options.threads, options.adapters, options.mostBytes));
        }
    }

    /** The names of the adapters in the file. */
    public List<String> adapters() {
        synchronized (closing) {
            List<String> names = new ArrayList<>();
            for (byte[] name; (name = Native.adapterName(closing.handle, names.size())) != null; )
                names.add(Texts.string(name));
            return names;
        }
    }

    /** The file's text entry of a name ("manifest.json", …); null where there is none. */
    public String entry(String name) {
        synchronized (closing) {
            return Texts.string(Native.entry(closing.handle, Texts.bytes(name)));
        }
    }

    /** The instruction set in use. */
    public String isa() {
        synchronized (closing) {
            return Texts.string(Native.isa(closing.handle));
        }
    }

    /** A number that equal files share. */
    public long fingerprint() {
        synchronized (closing) {
            return Native.fingerprint(closing.handle);
        }
    }

    @Override
    public void close() {
        reaper.close();
    }
}
