package tinsmith.runtime;

/** One message of a conversation. */
public record Message(Role role, String text) {
    /** Who it is from. In the order of tin.h. */
    public enum Role { SYSTEM, USER, ASSISTANT, TOOL }
}
