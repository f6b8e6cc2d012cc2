import java.nio.file.Path;
import tinsmith.runtime.Answer;
import tinsmith.runtime.Model;
import tinsmith.runtime.Options;
import tinsmith.runtime.Session;
import tinsmith.runtime.TinException;

/** Asks a .tin, and prints the answer as it comes. */
public final class Ask {
    private Ask() {}

    public static void main(String[] words) {
        if (words.length != 2) {
            System.err.println("usage: Ask FILE.tin TEXT");
            System.exit(2);
        }
        try (Model model = Model.open(Path.of(words[0])); Session session = model.session(new Options().context(1024))) {
            session.ask(words[1], 128);
            for (String piece : session.pieces()) System.out.print(piece);
            Answer answer = session.answer();
            System.out.printf("%n%d tokens by %d passes; digest %016x%n", answer.tokens(), answer.passes(), answer.digest());
        } catch (TinException error) {
            System.err.println(error.getMessage());
            System.exit(1);
        }
    }
}
