import java.nio.file.Path
import kotlin.system.exitProcess
import tinsmith.runtime.Model
import tinsmith.runtime.Options
import tinsmith.runtime.Session
import tinsmith.runtime.TinException

/** The pieces of an answer, each computed when it is collected. In an app: `.asFlow().flowOn(Dispatchers.Default)`. */
fun Session.answers(text: String, most: Int = 128): Sequence<String> {
    ask(text, most)
    return pieces().asSequence()
}

fun main(words: Array<String>) {
    val (path, text) = words.takeIf { it.size == 2 } ?: return println("usage: Ask FILE.tin TEXT")
    try {
        Model.open(Path.of(path)).use { model ->
            model.session(Options().context(1024)).use { session ->
                session.answers(text).forEach(::print)
                val answer = session.answer()
                println("\n${answer.tokens} tokens, ${answer.finish}; digest ${"%016x".format(answer.digest)}")
            }
        }
    } catch (error: TinException) {
        System.err.println(error.message)
        exitProcess(1)
    }
}
