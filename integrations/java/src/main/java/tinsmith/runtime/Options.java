package tinsmith.runtime;

/** What a session is given. Each 0 is the library's own choice. */
public final class Options {
    int context;
    int threads;
    int adapters;
    long mostBytes;

    /** Most tokens; 0: the model's own number. */
    public Options context(int tokens) {
        context = tokens;
        return this;
    }

    /** That compute, the caller's among them; 0 and 1: the caller's alone. */
    public Options threads(int count) {
        threads = count;
        return this;
    }

    /** At once; 0 or 1: one. */
    public Options adapters(int count) {
        adapters = count;
        return this;
    }

    /** Of memory that a session may take; 0: any. */
    public Options mostBytes(long bytes) {
        mostBytes = bytes;
        return this;
    }
}
