package tinsmith.runtime;

/** What came of a step. In the order of tin_host.h. */
public enum Step {
    /** The budget is spent without anything new. */
    PENDING,
    /** There is more of the answer, and more to come. */
    PIECE,
    /** The answer is complete. */
    DONE,
    /** No answer is under way. */
    IDLE
}
