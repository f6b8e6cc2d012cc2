// Tin.cs: a sealed language model in Unity, MonoGame and .NET. This file and the library tinhost are all there is.
//
//     using (var model = TinModel.Open("guard.tin"))
//     using (var guard = model.Session())
//     {
//         guard.Ask("Who goes there?", 64);
//         while (guard.Step(2000) != TinStep.Done) { }   // each frame: 2000 microseconds of it
//         Console.WriteLine(guard.Answer);
//     }
//
// What fails throws a TinException with a line that says what was wrong. A session is used by one thread at a time, a
// model by any number. tin_host.h says what each function does in full. No delegate crosses into the library and no
// string is marshaled, so that ahead-of-time compilers (IL2CPP, NativeAOT) have nothing to guess. C# 6.
using System;
using System.Collections;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Win32.SafeHandles;

namespace Tinsmith
{
    public sealed class TinException : Exception
    {
        public TinStatus Status { get; private set; }

        public TinException(TinStatus status, string message) : base(message)
        {
            Status = status;
        }
    }

    /// An open file.
    public sealed class TinModel : IDisposable
    {
        internal readonly ModelHandle Handle;

        TinModel(ModelHandle handle)
        {
            Handle = handle;
            var status = (TinStatus)Native.tinhost_model_status(handle);
            if (!handle.IsInvalid && status == TinStatus.Ok) return;
            string why = handle.IsInvalid ? "no memory for a model" : Utf8.Read(Native.tinhost_model_error(handle), handle);
            handle.Dispose();
            throw new TinException(status == TinStatus.Ok ? TinStatus.Memory : status, why);
        }

        /// Maps a .tin. With a key, minisign's public "RW...", only a file that its owner signed (path.minisig) is opened.
        public static TinModel Open(string path, string key = null)
        {
            return new TinModel(new ModelHandle(Native.tinhost_open(Utf8.Write(path), Utf8.Write(key)), IntPtr.Zero));
        }

        /// Opens a .tin from a packed resource. The bytes are copied once; the array may go.
        /// signature  the text of its .minisig file, where there is a key
        public static TinModel Open(byte[] file, string signature = null, string key = null)
        {
            if (file == null) throw new ArgumentNullException("file");
            byte[] signed = Utf8.Write(signature), by = Utf8.Write(key);
            IntPtr block = Marshal.AllocHGlobal(new IntPtr(file.LongLength + Native.Alignment));
            long aligned = (block.ToInt64() + Native.Alignment - 1) / Native.Alignment * Native.Alignment;
            Marshal.Copy(file, 0, new IntPtr(aligned), file.Length);
            IntPtr model = Native.tinhost_open_memory(new IntPtr(aligned), file.LongLength, signed, by);
            if (model == IntPtr.Zero) Marshal.FreeHGlobal(block); // an invalid handle releases nothing
            return new TinModel(new ModelHandle(model, block));
        }

        /// A new conversation, held to the file's own constraint where it has one.
        /// context    most tokens; 0: the model's own number
        /// threads    that compute, the caller's among them
        /// adapters   how many work at once
        /// mostBytes  of memory that it may take; 0: any
        public TinSession Session(int context = 0, int threads = 1, int adapters = 1, long mostBytes = 0)
        {
            return new TinSession(this, context, threads, adapters, mostBytes);
        }

        /// Names of the adapters in the file.
        public List<string> Adapters
        {
            get
            {
                var names = new List<string>();
                for (string name; (name = Utf8.Read(Native.tinhost_adapter_name(Handle, names.Count), Handle)) != null;)
                    names.Add(name);
                return names;
            }
        }

        /// A text entry of the file ("manifest.json", ...); null where there is none.
        public string Entry(string name)
        {
            return Utf8.Read(Native.tinhost_entry(Handle, Utf8.Write(name)), Handle);
        }

        /// The instruction set in use.
        public string Isa { get { return Utf8.Read(Native.tinhost_isa(Handle), Handle); } }

        /// A number that equal files share.
        public long Fingerprint { get { return Native.tinhost_fingerprint(Handle); } }

        /// Closes the file, once its last session is closed too.
        public void Dispose()
        {
            Handle.Dispose();
        }
    }

    /// A conversation.
    public sealed class TinSession : IDisposable
    {
        readonly SessionHandle handle;

        internal TinSession(TinModel model, int context, int threads, int adapters, long mostBytes)
        {
            IntPtr opened = Native.tinhost_session_open(model.Handle, context, threads, adapters, mostBytes);
            handle = new SessionHandle(opened, model.Handle);
            if (handle.IsInvalid) throw new TinException(TinStatus.Memory, "no memory for a session");
            if (Native.tinhost_status(handle) == 0) return;
            TinException why = Failure(Native.tinhost_status(handle));
            handle.Dispose();
            throw why;
        }

        /// Bytes of memory that the session takes, but for its texts.
        public long Bytes { get { return Native.tinhost_session_bytes(handle); } }

        // What the next answer is made by.

        /// Puts an adapter of the file to work, beside those that are; a scale of 0 takes it off, null takes off all.
        public void Adapter(string name, double scale = 1)
        {
            Check(Native.tinhost_adapter(handle, Utf8.Write(name), scale));
        }

        /// Whether answers are held to the file's or the adapter's constraint, as a session begins.
        public void Constrained(bool on)
        {
            Check(Native.tinhost_constrained(handle, on ? 1 : 0));
        }

        /// How tokens are chosen; temperature 0, as a session begins: the likeliest. repetition 1: no penalty.
        public void Sampling(double temperature, double topP = 1, double repetition = 1, long seed = 0)
        {
            Check(Native.tinhost_sampling(handle, temperature, topP, repetition, seed));
        }

        /// Percent of the time, 1 to 100, that its threads work at most where a step has no budget.
        public void DutyCycle(int percent)
        {
            Check(Native.tinhost_duty_cycle(handle, percent));
        }

        /// Whether the model thinks first; null: as its template decides.
        public void Think(bool? on)
        {
            Check(Native.tinhost_think(handle, on == null ? 0 : on.Value ? 1 : 2));
        }

        // The conversation.

        /// Adds a message.
        public void Say(TinRole role, string text)
        {
            Check(Native.tinhost_say(handle, (int)role, Utf8.Write(text)));
        }

        /// Puts an image, a PNG or JPEG file's bytes, before the text of the user's message that comes next.
        public void Image(byte[] file)
        {
            if (file == null) throw new ArgumentNullException("file");
            Check(Native.tinhost_image(handle, file, file.LongLength));
        }

        /// As Image, of pixels: rows of 3 bytes a pixel (RGB), or 4 (RGBA).
        public void Pixels(byte[] pixels, int width, int height, int channels)
        {
            if (pixels == null) throw new ArgumentNullException("pixels");
            Check(Native.tinhost_pixels(handle, pixels, pixels.LongLength, width, height, channels));
        }

        /// Forgets all messages from the k-th on, and the answer under way.
        public void Forget(int k = 0)
        {
            Check(Native.tinhost_forget(handle, k));
        }

        public int Messages { get { return Native.tinhost_messages(handle); } }

        /// The k-th message's text; null past the end.
        public string Message(int k)
        {
            return Utf8.Read(Native.tinhost_message(handle, k), handle);
        }

        public TinRole MessageRole(int k)
        {
            int role = Native.tinhost_message_role(handle, k);
            if (role < 0) throw new ArgumentOutOfRangeException("k", k, "there are " + Messages + " messages");
            return (TinRole)role;
        }

        /// Begins an answer to the messages. Step computes it.
        public void Begin(int mostTokens)
        {
            Check(Native.tinhost_begin(handle, mostTokens));
        }

        /// Says text as the user, and begins an answer to it.
        public void Ask(string text, int mostTokens)
        {
            Check(Native.tinhost_ask(handle, Utf8.Write(text), mostTokens));
        }

        /// Goes on from a text as it is; the answer becomes no message.
        public void Complete(string text, int mostTokens)
        {
            Check(Native.tinhost_complete(handle, Utf8.Write(text), mostTokens));
        }

        /// Begins an answer that is one of the options: see Chosen.
        public void Choose(params string[] options)
        {
            foreach (string option in options)
                if (option.IndexOf('\n') >= 0)
                    throw new TinException(TinStatus.Argument, "an option may not have several lines: " + option);
            Check(Native.tinhost_choose(handle, Utf8.Write(string.Join("\n", options) + "\n")));
        }

        /// Goes on with the answer for about so many microseconds; 0 and below, as what is left of a frame that is over, do
        /// the least that makes progress. Wait has no bound. Takes no memory.
        public TinStep Step(long microseconds)
        {
            return (TinStep)Check(Native.tinhost_step(handle, microseconds < 1 ? -1 : microseconds));
        }

        public TinStep Step(TimeSpan budget)
        {
            return Step(budget.Ticks / 10 + (budget.Ticks % 10 > 0 ? 1 : 0));
        }

        /// Computes the whole answer now, and returns it.
        public string Wait()
        {
            int step;
            do step = Check(Native.tinhost_step(handle, 0));
            while (step == (int)TinStep.Pending || step == (int)TinStep.Piece);
            return Answer;
        }

        /// For a coroutine: a step each frame until the answer is done. `piece` is given what each adds.
        public IEnumerator Frames(long microseconds, Action<string> piece = null)
        {
            for (bool more = true; more;)
            {
                TinStep step = Step(microseconds);
                more = step == TinStep.Pending || step == TinStep.Piece;
                if (piece != null && step != TinStep.Pending && Piece.Length > 0) piece(Piece);
                if (more) yield return null;
            }
        }

        /// For async code: a step each time that the caller's context comes round (in Unity, each frame).
        public async Task<string> AnswerAsync(long microseconds, CancellationToken stop = default(CancellationToken))
        {
            for (IEnumerator frames = Frames(microseconds); frames.MoveNext(); await Task.Yield())
            {
                if (!stop.IsCancellationRequested) continue;
                Cancel();
                stop.ThrowIfCancellationRequested();
            }
            return Answer;
        }

        /// What the last step added, in whole characters.
        public string Piece { get { return Utf8.Read(Native.tinhost_piece(handle), handle); } }

        /// The answer so far.
        public string Answer { get { return Utf8.Read(Native.tinhost_answer(handle), handle); } }

        /// The option that was chosen, from 0; -1 before.
        public int Chosen { get { return Native.tinhost_chosen(handle); } }

        public TinFinish Finish { get { return (TinFinish)Native.tinhost_finish(handle); } }

        /// Tokens of the answer, and how often the model was evaluated for it.
        public int Tokens { get { return Native.tinhost_tokens(handle); } }
        public int Passes { get { return Native.tinhost_passes(handle); } }

        /// A number over the answer's tokens and their logits, the same on every machine.
        public long Digest { get { return Native.tinhost_digest(handle); } }

        /// Drops the answer under way.
        public void Cancel()
        {
            Native.tinhost_cancel(handle);
        }

        // Save, restore, fork.

        /// Messages, adapters and caches, for a session of the same file on any machine.
        public byte[] Save()
        {
            var state = new byte[Native.tinhost_save_size(handle)];
            Check(Native.tinhost_save(handle, state, state.LongLength));
            return state;
        }

        public void Restore(byte[] state)
        {
            if (state == null) throw new ArgumentNullException("state");
            Check(Native.tinhost_restore(handle, state, state.LongLength));
        }

        /// Becomes what another session of the same model is, its answer under way left out.
        public void CopyFrom(TinSession other)
        {
            Check(Native.tinhost_copy(handle, other.handle));
        }

        public void Dispose()
        {
            handle.Dispose();
        }

        int Check(int status)
        {
            if (status < 0) throw Failure(status);
            return status;
        }

        TinException Failure(int status)
        {
            return new TinException((TinStatus)status, Utf8.Read(Native.tinhost_error(handle), handle));
        }
    }

    sealed class ModelHandle : SafeHandleZeroOrMinusOneIsInvalid
    {
        readonly IntPtr block; // the file in memory, or zero

        internal ModelHandle(IntPtr model, IntPtr block) : base(true)
        {
            this.block = block;
            SetHandle(model);
        }

        protected override bool ReleaseHandle()
        {
            Native.tinhost_close(handle);
            Marshal.FreeHGlobal(block);
            return true;
        }
    }

    sealed class SessionHandle : SafeHandleZeroOrMinusOneIsInvalid
    {
        readonly ModelHandle model; // held, since the file's memory must outlive the session

        internal SessionHandle(IntPtr session, ModelHandle model) : base(true)
        {
            bool held = false;
            SetHandle(session);
            if (session == IntPtr.Zero) return;
            model.DangerousAddRef(ref held);
            this.model = model;
        }

        protected override bool ReleaseHandle()
        {
            Native.tinhost_session_close(handle);
            model.DangerousRelease();
            return true;
        }
    }

    // Texts as the library has them: UTF-8 up to a NUL.
    static class Utf8
    {
        static readonly Encoding strict = new UTF8Encoding(false, true);

        internal static byte[] Write(string text)
        {
            if (text == null) return null;
            int end = text.IndexOf('\0');
            if (end >= 0)
                throw new TinException(TinStatus.Argument, "a text may not have a NUL; this one has at " + end + ": take it out");
            try
            {
                var bytes = new byte[strict.GetByteCount(text) + 1];
                strict.GetBytes(text, 0, text.Length, bytes, 0);
                return bytes;
            }
            catch (EncoderFallbackException error)
            {
                throw new TinException(TinStatus.Text, "half of a surrogate pair stands at " + error.Index + " of a text");
            }
        }

        /// A copy of a text that is `owner`'s, which the collector may not close before it is made.
        internal static string Read(IntPtr text, SafeHandle owner)
        {
            if (text == IntPtr.Zero) return null;
            int length = 0;
            while (Marshal.ReadByte(text, length) != 0) length++;
            var bytes = new byte[length];
            Marshal.Copy(text, bytes, 0, length);
            GC.KeepAlive(owner);
            return Encoding.UTF8.GetString(bytes);
        }
    }

    static partial class Native
    {
        internal const int Alignment = 64; // TIN_ALIGNMENT

#if (UNITY_IOS || UNITY_TVOS || UNITY_VISIONOS) && !UNITY_EDITOR
        const string Library = "__Internal"; // linked into the program
#else
        const string Library = "tinhost";
#endif
    }

    // Made by scripts/bindings.py of kernels/include/tin_host.h: change that.
    public enum TinStatus
    {
        Ok = 0,
        /// an argument is out of range or missing
        Argument = -1,
        /// the file is not a tin, or is damaged
        Format = -2,
        /// the file needs another version of the runtime
        Version = -3,
        /// this build lacks what the file or the caller asks for
        Unsupported = -4,
        /// the given memory block is too small or misaligned
        Memory = -5,
        /// the session's context is full
        Context = -6,
        /// the call does not fit the session's state
        State = -7,
        /// the text can't be tokenized
        Text = -8,
        /// the file is not what the owner of the key signed
        Signature = -9,
    }

    /// Who a message is from.
    public enum TinRole { System = 0, User = 1, Assistant = 2, Tool = 3 }

    /// Result of a step: nothing new; a piece, more to come; the end; no answer under way.
    public enum TinStep { Pending = 0, Piece = 1, Done = 2, Idle = 3 }

    /// Why an answer ended; None: it has not.
    public enum TinFinish { None = 0, End = 1, Length = 2, Context = 3, Constraint = 4 }

    static partial class Native
    {
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern IntPtr tinhost_open(byte[] path, byte[] key);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern IntPtr tinhost_open_memory(IntPtr file, long file_bytes, byte[] signature, byte[] key);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern void tinhost_close(IntPtr model);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern IntPtr tinhost_model_error(ModelHandle model);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_model_status(ModelHandle model);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern IntPtr tinhost_adapter_name(ModelHandle model, int k);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern IntPtr tinhost_entry(ModelHandle model, byte[] name);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern IntPtr tinhost_isa(ModelHandle model);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern long tinhost_fingerprint(ModelHandle model);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern IntPtr tinhost_session_open(ModelHandle model, int context, int threads, int adapters, long most_bytes);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern void tinhost_session_close(IntPtr session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern IntPtr tinhost_error(SessionHandle session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_status(SessionHandle session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern long tinhost_session_bytes(SessionHandle session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_adapter(SessionHandle session, byte[] name, double scale);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_constrained(SessionHandle session, int on);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_sampling(SessionHandle session, double temperature, double top_p, double repetition, long seed);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_duty_cycle(SessionHandle session, int percent);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_think(SessionHandle session, int mode);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_say(SessionHandle session, int role, byte[] text);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_image(SessionHandle session, byte[] file, long file_bytes);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_pixels(SessionHandle session, byte[] pixels, long pixels_bytes, int width, int height, int channels);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_forget(SessionHandle session, int k);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_messages(SessionHandle session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern IntPtr tinhost_message(SessionHandle session, int k);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_message_role(SessionHandle session, int k);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_begin(SessionHandle session, int most_tokens);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_ask(SessionHandle session, byte[] text, int most_tokens);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_choose(SessionHandle session, byte[] options);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_complete(SessionHandle session, byte[] text, int most_tokens);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_step(SessionHandle session, long budget_us);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern IntPtr tinhost_piece(SessionHandle session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern IntPtr tinhost_answer(SessionHandle session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_chosen(SessionHandle session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_finish(SessionHandle session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_tokens(SessionHandle session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_passes(SessionHandle session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern long tinhost_digest(SessionHandle session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern void tinhost_cancel(SessionHandle session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern long tinhost_save_size(SessionHandle session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_save(SessionHandle session, byte[] @out, long out_bytes);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_restore(SessionHandle session, byte[] data, long data_bytes);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tinhost_copy(SessionHandle to, SessionHandle from);
    }
    // End of the generated part.
}
