// A guard at a gate: put it on an empty GameObject beside a TinCharacter whose file lies in StreamingAssets, and play.
using UnityEngine;

namespace Tinsmith.Samples
{
    [RequireComponent(typeof(TinCharacter))]
    public sealed class Guard : MonoBehaviour
    {
        static readonly string[] deeds = { "opens the gate", "asks for the password", "shakes his head", "laughs" };

        TinCharacter him;
        string words = "Good evening. May I come in?", heard = "", deed = "", line = "";

        void Awake()
        {
            him = GetComponent<TinCharacter>();
            him.brief = "You are the guard of a castle gate. You speak in one short sentence.";
            him.onChoice.AddListener(Does);
            him.onPiece.AddListener(piece => line += piece);
            him.onFailed.AddListener(why => line = why);
        }

        // What he does is one of the deeds, and his line is told to fit it.
        void Does(int k)
        {
            deed = "The guard " + deeds[k] + ".";
            line = "";
            him.Session.Forget(him.Session.Messages - 2);
            him.Session.Constrained(false);
            him.Ask(heard + " (" + deed + ")");
        }

        void OnGUI()
        {
            GUILayout.BeginArea(new Rect(20, 20, 600, 200));
            words = GUILayout.TextField(words, 70);
            if (GUILayout.Button(him.Busy ? "..." : "Say it"))
            {
                heard = words;
                deed = line = "";
                him.Choose(heard, deeds);
            }
            GUILayout.Label(deed);
            GUILayout.Label(line);
            GUILayout.EndArea();
        }
    }
}
