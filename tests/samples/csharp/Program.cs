using System;
using System.Threading.Tasks;

/// <summary>Runs one sample by its name; a sample that returns its result has it printed.</summary>
public static class Program
{
    public static void Main(string[] arguments)
    {
        Console.OutputEncoding = new System.Text.UTF8Encoding(false);
        Run(arguments[0]).GetAwaiter().GetResult();
    }

    private static async Task Run(string name)
    {
        var samples = new Samples();
        switch (name)
        {
            case "AsyncPolling":
                Console.WriteLine(await samples.AsyncPollingExample());
                break;
            case "FireAndForget":
                await samples.FireAndForgetExample();
                break;
            case "Sync":
                await samples.SyncExample();
                break;
            default:
                throw new ArgumentException("no sample has this name: " + name);
        }
    }
}
