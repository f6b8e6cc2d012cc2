package tinsmith.runtime;

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/** The cases of integrations/conformance: {@code Conformance TINS OUT}. */
public final class Conformance {
    private final Path tins;
    private final Path path;
    private final JsonObject given;
    private final Model model;

    private Conformance(Path tins) throws IOException {
        this.tins = tins;
        given = JsonParser.parseString(Files.readString(tins.resolve("cases.json"))).getAsJsonObject();
        path = tins.resolve(given.getAsJsonObject("files").get("plain").getAsString());
        model = Model.open(path);
    }

    private Session room() {
        return model.session(new Options().context(512));
    }

    private Session begun(JsonObject one) {
        Session session = room();
        for (JsonElement each : one.getAsJsonArray("messages")) {
            JsonObject message = each.getAsJsonObject();
            String role = message.get("role").getAsString().toUpperCase(Locale.ROOT);
            session.say(Message.Role.valueOf(role), message.get("content").getAsString());
        }
        if (one.has("constrained")) session.constrained(one.get("constrained").getAsBoolean());
        if (one.has("sampling")) {
            JsonObject drawn = one.getAsJsonObject("sampling");
            session.sampling(
                    drawn.get("temperature").getAsDouble(), drawn.get("top_p").getAsDouble(),
                    drawn.get("repetition").getAsDouble(), drawn.get("seed").getAsLong());
        }
        if (one.has("adapter")) session.adapter(one.get("adapter").getAsString(), 1);
        return session;
    }

    private static JsonObject answer(Session session, int most, long budget) {
        session.begin(most);
        StringBuilder pieces = new StringBuilder();
        if (budget == 0) for (String piece : session.pieces()) pieces.append(piece);
        else
            for (Step step = Step.PENDING; step != Step.DONE; ) {
                step = session.step(Duration.ofNanos(budget * 1000));
                pieces.append(session.piece());
            }
        return shown(session, pieces.toString());
    }

    private static JsonObject shown(Session session, String pieces) {
        Answer answer = session.answer();
        if (!answer.text().equals(pieces)) throw new AssertionError(pieces + " is not " + answer.text());
        JsonObject found = new JsonObject();
        found.addProperty("text", answer.text());
        found.addProperty("tokens", answer.tokens());
        found.addProperty("finish", answer.finish().ordinal());
        found.addProperty("digest", Long.toString(answer.digest()));
        return found;
    }

    /** A file that lies beside cases.json. */
    private ByteBuffer bytes(JsonObject one, String field) {
        try {
            return ByteBuffer.wrap(Files.readAllBytes(tins.resolve(one.get(field).getAsString())));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** A session of the case's own file, for an image. */
    private Session sessionOf(JsonObject one) {
        try (Model model = Model.open(tins.resolve(one.get("file").getAsString()))) {
            return model.session(new Options().context(512));
        }
    }

    /** By the image's file, and by its pixels. */
    private List<JsonElement> withImage(JsonObject one) {
        List<JsonElement> found = new ArrayList<>();
        for (boolean isFile : new boolean[] {true, false})
            try (Session session = sessionOf(one)) {
                int width = one.get("width").getAsInt(), height = one.get("height").getAsInt();
                if (isFile) session.image(bytes(one, "image"));
                else session.pixels(bytes(one, "pixels"), width, height, 3);
                session.say(Message.Role.USER, one.get("text").getAsString());
                found.add(answer(session, one.get("max_tokens").getAsInt(), 0));
            }
        return found;
    }

    private List<JsonElement> answers(JsonObject one) {
        String name = one.get("name").getAsString();
        int most = one.get("max_tokens").getAsInt();
        try (Session session = begun(one)) {
            if (name.equals("choose")) {
                List<String> options = new ArrayList<>();
                one.getAsJsonArray("options").forEach(option -> options.add(option.getAsString()));
                int chosen = session.choose(options);
                JsonObject found = shown(session, options.get(chosen));
                found.addProperty("chosen", chosen);
                return List.of(found);
            }
            if (name.equals("cancel")) {
                session.begin(most);
                for (String piece : session.pieces())
                    if (session.answer().tokens() >= one.get("after_tokens").getAsInt()) break;
                session.cancel();
            }
            List<JsonElement> found = new ArrayList<>();
            found.add(answer(session, most, one.has("budget_us") ? one.get("budget_us").getAsLong() : 0));
            if (name.equals("adapter")) {
                session.forget(one.getAsJsonArray("messages").size());
                session.adapter(null, 0);
                found.add(answer(session, most, 0));
            }
            if (name.equals("restore"))
                try (Session other = room()) {
                    other.restore(session.save());
                    other.say(Message.Role.USER, one.get("next").getAsString());
                    found.add(answer(other, most, 0));
                }
            return found;
        }
    }

    private void refused(JsonObject one) {
        switch (one.get("name").getAsString()) {
            case "missing" -> Model.open(tins.resolve(one.get("file").getAsString())).close();
            case "key" -> {
                Model.open(path, key(one, "right")).close();
                Model.open(path, key(one, "wrong")).close();
            }
            case "memory" -> model.session(new Options().mostBytes(one.get("most_bytes").getAsLong())).close();
            default -> {
                try (Session session = sessionOf(one)) {
                    session.image(bytes(one, "image"));
                }
            }
        }
    }

    private String key(JsonObject one, String field) {
        return given.getAsJsonObject("keys").get(one.get(field).getAsString().replace(".pub", "")).getAsString();
    }

    private String check(JsonObject one) {
        JsonObject expect = one.getAsJsonObject("expect");
        if (expect.has("status"))
            try {
                refused(one);
                return "it was not refused";
            } catch (TinException error) {
                boolean right = error.status.equals(Native.STATUSES[-expect.get("status").getAsInt() - 1])
                        && error.getMessage().contains(expect.get("says").getAsString());
                return right ? "passed" : error.toString();
            }
        JsonArray wanted = new JsonArray();
        wanted.add(expect);
        boolean hasImages = one.has("image");
        if (hasImages) wanted.add(expect);
        if (one.has("then")) wanted.add(one.get("then"));
        JsonArray found = new JsonArray();
        (hasImages ? withImage(one) : answers(one)).forEach(found::add);
        // Numbers are compared as they are written: one that was read equals no int.
        return new Gson().toJson(found).equals(new Gson().toJson(wanted)) ? "passed" : found + " is not " + wanted;
    }

    public static void main(String[] arguments) throws IOException {
        Conformance runner = new Conformance(Path.of(arguments[0]));
        Map<String, String> results = new TreeMap<>();
        for (JsonElement each : runner.given.getAsJsonArray("cases")) {
            JsonObject one = each.getAsJsonObject();
            results.put(one.get("name").getAsString(), runner.check(one));
        }
        runner.model.close();
        JsonObject report = new JsonObject();
        report.add("host", new JsonPrimitive("java"));
        report.add("version", new JsonPrimitive(System.getProperty("java.version")));
        report.add("cases", new Gson().toJsonTree(results));
        Files.writeString(Path.of(arguments[1]), report + "\n");
        System.out.println(report);
        if (results.isEmpty() || results.values().stream().anyMatch(result -> !result.equals("passed"))) System.exit(1);
    }
}
