using System;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Text;
using System.Threading.Tasks;

/// <summary>METHOD URL [BODY]: the body to standard output, the status to standard error; redirects are HttpClient's
/// business.</summary>
public static class MonoHttpClient
{
    public static void Main(string[] arguments)
    {
        Send(arguments).GetAwaiter().GetResult();
    }

    private static async Task Send(string[] arguments)
    {
        var client = new HttpClient();
        var request = new HttpRequestMessage(new HttpMethod(arguments[0]), arguments[1]);
        var token = Environment.GetEnvironmentVariable("TOKEN");
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        if (arguments.Length > 2)
            request.Content = new StringContent(arguments[2], Encoding.UTF8, "application/json");

        var response = await client.SendAsync(request);
        var body = await response.Content.ReadAsByteArrayAsync();
        using (var output = Console.OpenStandardOutput())
            output.Write(body, 0, body.Length);
        Console.Error.Write((int)response.StatusCode);
    }
}
