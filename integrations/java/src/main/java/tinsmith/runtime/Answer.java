package tinsmith.runtime;

/**
 * An answer so far, and what it took.
 *
 * @param passes how often the model was evaluated
 * @param digest of tokens and the logits they were chosen by: the same on every machine
 */
public record Answer(String text, Finish finish, int tokens, int passes, long digest) {
    /** Why an answer ended; NONE: it has not. In the order of tin.h. */
    public enum Finish { NONE, END, LENGTH, CONTEXT, CONSTRAINT }
}
