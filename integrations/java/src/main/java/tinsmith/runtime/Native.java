// Made by scripts/bindings.py of kernels/include/tin_host.h: change that.
package tinsmith.runtime;

import java.nio.ByteBuffer;

final class Native {
    private Native() {}

    static native long open(byte[] path, byte[] key);
    static native long openMemory(ByteBuffer file, byte[] signature, byte[] key);
    static native void close(long model);
    static native byte[] modelError(long model);
    static native int modelStatus(long model);
    static native byte[] adapterName(long model, int k);
    static native byte[] entry(long model, byte[] name);
    static native byte[] isa(long model);
    static native long fingerprint(long model);
    static native long sessionOpen(long model, int context, int threads, int adapters, long most_bytes);
    static native void sessionClose(long session);
    static native byte[] error(long session);
    static native int status(long session);
    static native long sessionBytes(long session);
    static native int adapter(long session, byte[] name, double scale);
    static native int constrained(long session, int on);
    static native int sampling(long session, double temperature, double top_p, double repetition, long seed);
    static native int dutyCycle(long session, int percent);
    static native int think(long session, int mode);
    static native int say(long session, int role, byte[] text);
    static native int image(long session, ByteBuffer file);
    static native int pixels(long session, ByteBuffer pixels, int width, int height, int channels);
    static native int forget(long session, int k);
    static native int messages(long session);
    static native byte[] message(long session, int k);
    static native int messageRole(long session, int k);
    static native int begin(long session, int most_tokens);
    static native int ask(long session, byte[] text, int most_tokens);
    static native int choose(long session, byte[] options);
    static native int complete(long session, byte[] text, int most_tokens);
    static native int step(long session, long budget_us);
    static native byte[] piece(long session);
    static native byte[] answer(long session);
    static native int chosen(long session);
    static native int finish(long session);
    static native int tokens(long session);
    static native int passes(long session);
    static native long digest(long session);
    static native void cancel(long session);
    static native long saveSize(long session);
    static native int save(long session, ByteBuffer out);
    static native int restore(long session, ByteBuffer data);
    static native int copy(long to, long from);

    static final int PENDING = 0;
    static final int PIECE = 1;
    static final int DONE = 2;
    static final int IDLE = 3;
    static final int ROLE_SYSTEM = 0;
    static final int ROLE_USER = 1;
    static final int ROLE_ASSISTANT = 2;
    static final int ROLE_TOOL = 3;
    static final int FINISH_NONE = 0;
    static final int FINISH_END = 1;
    static final int FINISH_LENGTH = 2;
    static final int FINISH_CONTEXT = 3;
    static final int FINISH_CONSTRAINT = 4;

    /** Of status -1, -2, … */
    static final String[] STATUSES = {"ARGUMENT", "FORMAT", "VERSION", "UNSUPPORTED", "MEMORY", "CONTEXT", "STATE", "TEXT", "SIGNATURE"};
}
