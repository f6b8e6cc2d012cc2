package tinsmith.runtime;

import java.nio.charset.StandardCharsets;

/** Strings as C has them: UTF-8, without a NUL. */
final class Texts {
    private Texts() {}

    static byte[] bytes(String text) {
        if (text == null) return null;
        int at = text.indexOf('\0');
        if (at >= 0) throw new IllegalArgumentException("the text has a NUL at character " + at + "; leave it out");
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String string(byte[] text) {
        return text == null ? null : new String(text, StandardCharsets.UTF_8);
    }
}
