// A character with a model, for a GameObject: asked by Ask or Choose, it answers by its events, a slice of each frame.
using System;
using System.Collections;
using System.IO;
using UnityEngine;
using UnityEngine.Events;
using UnityEngine.Networking;

namespace Tinsmith
{
    [AddComponentMenu("tinsmith/Tin Character")]
    public sealed class TinCharacter : MonoBehaviour
    {
        [Serializable] public sealed class TextEvent : UnityEvent<string> { }
        [Serializable] public sealed class ChoiceEvent : UnityEvent<int> { }

        [Tooltip("A .tin in StreamingAssets, where it can be mapped")] public string file = "guard.tin";
        [Tooltip("minisign's public key: only a file that its owner signed is opened")] public string key = "";
        [Tooltip("An adapter in the file; empty: none")] public string adapter = "";
        [Tooltip("What the character is told first"), TextArea] public string brief = "";
        [Tooltip("Most tokens of a conversation")] public int context = 512;
        [Tooltip("Most tokens of an answer")] public int mostTokens = 64;
        [Tooltip("What an answer may take of a frame, in microseconds")] public int budget = 2000;
        [Tooltip("0: the likeliest answer")] public float temperature = 0;
        public long seed = 1;

        [Tooltip("More of the answer")] public TextEvent onPiece = new TextEvent();
        [Tooltip("The whole answer")] public TextEvent onAnswer = new TextEvent();
        [Tooltip("Which option it is, counted from 0")] public ChoiceEvent onChoice = new ChoiceEvent();
        [Tooltip("What went wrong, in a line")] public TextEvent onFailed = new TextEvent();

        /// The conversation, once the file is open; null before.
        public TinSession Session { get; private set; }

        public bool Busy { get { return frames != null; } }

        TinModel model;
        IEnumerator frames;
        bool choosing;

        IEnumerator Start()
        {
            string path = Path.Combine(Application.streamingAssetsPath, file);
            if (!path.Contains("://"))
            {
                Try(() => Open(TinModel.Open(path, key)));
                yield break;
            }
            // Inside an .apk there is no file to map.
            using (UnityWebRequest packed = UnityWebRequest.Get(path), signed = UnityWebRequest.Get(path + ".minisig"))
            {
                yield return packed.SendWebRequest();
                if (key != "") yield return signed.SendWebRequest();
                if (packed.result != UnityWebRequest.Result.Success)
                    onFailed.Invoke(path + ": " + packed.error);
                else
                    Try(() => Open(TinModel.Open(packed.downloadHandler.data, key == "" ? null : signed.downloadHandler.text, key)));
            }
        }

        /// Says text to the character, which answers.
        public void Ask(string text)
        {
            Begin(false, () => Session.Ask(text, mostTokens));
        }

        /// Says text to the character, which does one of the options.
        public void Choose(string text, params string[] options)
        {
            Begin(true, () =>
            {
                Session.Say(TinRole.User, text);
                try
                {
                    Session.Choose(options);
                }
                catch (TinException)
                {
                    Session.Forget(Session.Messages - 1); // as if it had not been said
                    throw;
                }
            });
        }

        /// Drops the answer under way.
        public void Cancel()
        {
            frames = null;
            if (Session != null) Session.Cancel();
        }

        /// For saved games: the conversation and all that it rests on.
        public byte[] Save()
        {
            return Session.Save();
        }

        public void Restore(byte[] state)
        {
            Cancel();
            Try(() => Session.Restore(state));
        }

        void Open(TinModel opened)
        {
            model = opened;
            TinSession made = model.Session(context);
            if (adapter != "") made.Adapter(adapter);
            made.Sampling(temperature, 0.95, 1.1, seed);
            if (brief != "") made.Say(TinRole.System, brief);
            Session = made;
        }

        void Begin(bool choice, Action ask)
        {
            Cancel();
            Try(() =>
            {
                if (Session == null) throw new TinException(TinStatus.State, file + " is not open yet");
                ask();
                choosing = choice;
                frames = Session.Frames(budget, onPiece.Invoke);
            });
        }

        void Update()
        {
            IEnumerator now = frames;
            bool more = false;
            if (now == null || !Try(() => more = now.MoveNext()) || more || now != frames) return;
            frames = null;
            if (choosing) onChoice.Invoke(Session.Chosen);
            else onAnswer.Invoke(Session.Answer);
        }

        bool Try(Action call)
        {
            try
            {
                call();
                return true;
            }
            catch (TinException error)
            {
                frames = null;
                Debug.LogError("tinsmith: " + error.Message, this);
                onFailed.Invoke(error.Message);
                return false;
            }
        }

        void OnDestroy()
        {
            if (Session != null) Session.Dispose();
            if (model != null) model.Dispose();
        }
    }
}
