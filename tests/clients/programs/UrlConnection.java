import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.charset.StandardCharsets;

/** METHOD URL [BODY]: the body to standard output, the status to standard error; redirects are the client's business. */
public class UrlConnection {
    public static void main(String[] arguments) throws Exception {
        var connection = (HttpURLConnection) URI.create(arguments[1]).toURL().openConnection();
        connection.setRequestMethod(arguments[0]);
        connection.setRequestProperty("Authorization", "Bearer " + System.getenv("TOKEN"));
        if (arguments.length > 2) {
            connection.setRequestProperty("Content-Type", "application/json");
            connection.setDoOutput(true);
            connection.getOutputStream().write(arguments[2].getBytes(StandardCharsets.UTF_8));
        }
        int status = connection.getResponseCode();
        var stream = status < 400 ? connection.getInputStream() : connection.getErrorStream();
        stream.transferTo(System.out);
        System.out.flush();
        System.err.print(status);
    }
}
