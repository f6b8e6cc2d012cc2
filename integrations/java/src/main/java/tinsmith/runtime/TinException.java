package tinsmith.runtime;

/** A status of tin.h, and a line that says what was wrong. */
public final class TinException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** "ARGUMENT", "FORMAT", "VERSION", "UNSUPPORTED", "MEMORY", "CONTEXT", "STATE", "TEXT" or "SIGNATURE". */
    public final String status;

    TinException(int status, String message) {
        super(message);
        int k = -status - 1;
        this.status = k >= 0 && k < Native.STATUSES.length ? Native.STATUSES[k] : "UNKNOWN";
    }

    @Override
    public String toString() {
        return "TinException: " + getMessage() + " (" + status + ")";
    }
}
