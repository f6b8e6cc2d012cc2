#include "TinComponent.h"

UTinComponent::UTinComponent()
{
	PrimaryComponentTick.bCanEverTick = true;
}

void UTinComponent::BeginPlay()
{
	Super::BeginPlay();
	if (Model || !File.IsEmpty())
	{
		Open();
	}
}

void UTinComponent::EndPlay(const EEndPlayReason::Type Reason)
{
	Session.reset();
	bBusy = false;
	Super::EndPlay(Reason);
}

/* The conversation as the properties say; it is there afterwards, or the reason why not was told. */
bool UTinComponent::Open()
{
	if (Session)
	{
		return true;
	}
	if (!Model)
	{
		FString Error;
		Model = UTinModel::OpenTin(File, Key, Error);
		if (!Model)
		{
			return Fail(Error);
		}
	}
	tin::needs Needs;
	Needs.context = Context;
	Needs.most_bytes = MostBytes;
	auto Made = Model->Get().session(Needs);
	if (!Held(Made) || !Held(Made->constrained(bConstrained)) || !Held(Made->sample({Temperature, 0.95, 1.0, Seed})) ||
	    (!Adapter.IsEmpty() && !Held(Made->adapter(TCHAR_TO_UTF8(*Adapter)))) ||
	    (!Brief.IsEmpty() && !Held(Made->say(tin::role::system, TCHAR_TO_UTF8(*Brief)))))
	{
		return false;
	}
	Session.emplace(std::move(*Made));
	return true;
}

bool UTinComponent::Image(const TArray<uint8>& Bytes)
{
	Cancel();
	return Open() && Held(Session->image(tin::bytes(Bytes.GetData(), static_cast<std::size_t>(Bytes.Num()))));
}

bool UTinComponent::Pixels(const TArray<FColor>& Colors, int32 Width)
{
	Cancel();
	std::vector<uint8> Rows;
	Rows.reserve(4 * static_cast<std::size_t>(Colors.Num()));
	for (const FColor& Color : Colors)
	{
		Rows.insert(Rows.end(), {Color.R, Color.G, Color.B, Color.A});
	}
	return Open() && Held(Session->pixels({Rows.data(), Rows.size()}, Width, Width > 0 ? Colors.Num() / Width : 0, 4));
}

bool UTinComponent::Ask(const FString& Text)
{
	Cancel();
	return Open() && Begun(Session->ask(TCHAR_TO_UTF8(*Text), MostTokens), false);
}

bool UTinComponent::Choose(const FString& Text, const TArray<FString>& Options)
{
	Cancel();
	if (!Open() || !Held(Session->say(tin::role::user, TCHAR_TO_UTF8(*Text))))
	{
		return false;
	}
	std::vector<std::string> Kept;
	for (const FString& Option : Options)
	{
		Kept.emplace_back(TCHAR_TO_UTF8(*Option));
	}
	if (Begun(Session->choose({Kept.begin(), Kept.end()}), true))
	{
		return true;
	}
	(void)Held(Session->forget(Session->messages() - 1)); /* as if it had not been said */
	return false;
}

void UTinComponent::Cancel()
{
	bBusy = false;
	if (Session)
	{
		Session->cancel();
	}
}

bool UTinComponent::Forget()
{
	Cancel();
	return Open() && Held(Session->forget(Brief.IsEmpty() ? 0 : 1));
}

bool UTinComponent::Save(TArray<uint8>& State)
{
	if (!Open())
	{
		return false;
	}
	auto Saved = Session->save();
	if (!Held(Saved))
	{
		return false;
	}
	State.SetNumUninitialized(static_cast<int32>(Saved->size()));
	FMemory::Memcpy(State.GetData(), Saved->data(), Saved->size());
	return true;
}

bool UTinComponent::Restore(const TArray<uint8>& State)
{
	Cancel();
	return Open() && Held(Session->restore(tin::bytes(State.GetData(), static_cast<std::size_t>(State.Num()))));
}

bool UTinComponent::IsBusy() const
{
	return bBusy;
}

int64 UTinComponent::GetDigest() const
{
	return Session ? Session->digest() : 0;
}

void UTinComponent::TickComponent(float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction)
{
	Super::TickComponent(DeltaTime, TickType, ThisTickFunction);
	if (!bBusy)
	{
		return;
	}
	auto Step = Session->step(std::chrono::microseconds(Budget));
	if (!Held(Step) || *Step == tin::step::pending)
	{
		return;
	}
	const bool bDone = *Step != tin::step::piece;
	const bool bChosen = bDone && bChoosing;
	const FString Piece = UTF8_TO_TCHAR(Session->piece().data());
	const FString Answer = bDone ? UTF8_TO_TCHAR(Session->answer().data()) : TEXT("");
	const int32 Option = Session->chosen();
	bBusy = !bDone; /* before the delegates, which may ask again */
	if (!Piece.IsEmpty())
	{
		OnPiece.Broadcast(Piece);
	}
	if (bChosen)
	{
		OnChosen.Broadcast(Option, Answer);
	}
	else if (bDone)
	{
		OnFinished.Broadcast(Answer);
	}
}

bool UTinComponent::Begun(const tin::result<>& Result, bool bChoice)
{
	bChoosing = bChoice;
	bBusy = static_cast<bool>(Result);
	return Held(Result);
}

bool UTinComponent::Fail(const FString& Why)
{
	bBusy = false;
	UE_LOG(LogTinsmith, Error, TEXT("%s"), *Why);
	OnFailed.Broadcast(Why);
	return false;
}

template <class T> bool UTinComponent::Held(const tin::result<T>& Result)
{
	return Result ? true : Fail(UTF8_TO_TCHAR(Result.error().text.c_str()));
}
