import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** METHOD URL [BODY]: the body to standard output, the status to standard error; redirects are the client's business. */
public class JavaHttpClient {
    public static void main(String[] arguments) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(arguments[1]))
            .header("Authorization", "Bearer " + System.getenv("TOKEN"));
        if (arguments.length > 2) {
            request.header("Content-Type", "application/json");
            request.method(arguments[0], BodyPublishers.ofString(arguments[2]));
        } else {
            request.method(arguments[0], BodyPublishers.noBody());
        }
        var client = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NORMAL).build();
        var response = client.send(request.build(), BodyHandlers.ofByteArray());
        System.out.write(response.body());
        System.out.flush();
        System.err.print(response.statusCode());
    }
}
