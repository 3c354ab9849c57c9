/*
 * The conversation of a suite in Java with whoever runs it, as conversation.py holds it;
 * tests/compatibility/program.ts is the other side.
 */

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

final class Conversation {
    static final String HOST = System.getenv("PLACE_HOST");
    static final String PORT = System.getenv("PLACE_PORT");
    static final String USER = System.getenv("PLACE_USER");
    static final String PASSWORD = System.getenv("PLACE_PASSWORD");
    static final String DATABASE = System.getenv("PLACE_DATABASE");
    static final int CLIENTS_MAX = Integer.parseInt(System.getenv("PLACE_CLIENTS_MAX"));

    private static final PrintStream OUT =
            new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static final BufferedReader IN =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

    private Conversation() {}

    /** Runs the cases that it is told, until nobody tells it any more. */
    static void about(Class<?> suite) throws IOException {
        Map<String, Method> cases = new HashMap<>();
        for (Method method : suite.getDeclaredMethods()) {
            Case named = method.getAnnotation(Case.class);
            if (named != null) cases.put(named.value(), method);
        }
        for (String line = IN.readLine(); line != null; line = IN.readLine()) {
            OUT.println(outcome(cases.get(line.substring("case ".length()))));
        }
    }

    /** Returns, for `restart`, when the database serves again; for `running TEXT`, when it runs. */
    static void ask(String question) throws IOException {
        OUT.println(question);
        String answer = IN.readLine();
        if (!"done".equals(answer)) throw new AssertionError(answer);
    }

    private static String outcome(Method run) {
        try {
            run.invoke(null);
            return "passed";
        } catch (InvocationTargetException error) {
            return "failed " + onOneLine(error.getCause());
        } catch (Exception error) {
            return "failed " + onOneLine(error);
        }
    }

    private static String onOneLine(Throwable error) {
        StringWriter text = new StringWriter();
        error.printStackTrace(new PrintWriter(text));
        return text.toString().replace("\t", " ").replace("\n", "\t");
    }
}
