#pragma once

#include "Components/ActorComponent.h"
#include "CoreMinimal.h"
#include "TinModel.h"
#include "TinComponent.generated.h"

DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FTinText, const FString&, Text);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(FTinChoice, int32, Index, const FString&, Option);

/** A conversation of an actor's: asked, it answers by its delegates, a slice of each tick. */
UCLASS(ClassGroup = (tinsmith), meta = (BlueprintSpawnableComponent))
class TINSMITH_API UTinComponent : public UActorComponent
{
	GENERATED_BODY()

public:
	UTinComponent();

	/** The model, which components may share. Where it is not set, File is opened as play begins. */
	UPROPERTY(BlueprintReadWrite, Category = "tinsmith")
	TObjectPtr<UTinModel> Model;

	/** A .tin below Content. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "tinsmith")
	FString File;

	/** minisign's public key: only a file that its owner signed is opened. Empty: any. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "tinsmith")
	FString Key;

	/** An adapter of the file; empty: none. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "tinsmith")
	FString Adapter;

	/** What the character is told first. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "tinsmith", meta = (MultiLine = true))
	FString Brief;

	/** Most tokens of the conversation. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "tinsmith", meta = (ClampMin = 1))
	int32 Context = 512;

	/** Most tokens of an answer. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "tinsmith", meta = (ClampMin = 1))
	int32 MostTokens = 64;

	/** What an answer may take of a tick, in microseconds. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "tinsmith", meta = (ClampMin = 1))
	int32 Budget = 2000;

	/** Most bytes that the session may take; 0: any. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "tinsmith", meta = (ClampMin = 0))
	int64 MostBytes = 0;

	/** 0: the likeliest answer. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "tinsmith", meta = (ClampMin = 0))
	float Temperature = 0;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "tinsmith")
	int64 Seed = 1;

	/** Whether answers are held to the file's or the adapter's constraint. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "tinsmith")
	bool bConstrained = true;

	/** More of the answer. */
	UPROPERTY(BlueprintAssignable, Category = "tinsmith")
	FTinText OnPiece;

	/** The whole answer. */
	UPROPERTY(BlueprintAssignable, Category = "tinsmith")
	FTinText OnFinished;

	/** The option that was chosen. */
	UPROPERTY(BlueprintAssignable, Category = "tinsmith")
	FTinChoice OnChosen;

	/** What went wrong, in a line, which is in the log too. */
	UPROPERTY(BlueprintAssignable, Category = "tinsmith")
	FTinText OnFailed;

	/** Shows a PNG or JPEG file to a character of a file with image input: before the text that is said next. */
	UFUNCTION(BlueprintCallable, Category = "tinsmith")
	bool Image(const TArray<uint8>& Bytes);

	/** Shows pixels, such as a render target's (ReadPixels), in rows of Width. */
	UFUNCTION(BlueprintCallable, Category = "tinsmith")
	bool Pixels(const TArray<FColor>& Colors, int32 Width);

	/** Says a text to the character, which answers. */
	UFUNCTION(BlueprintCallable, Category = "tinsmith")
	bool Ask(const FString& Text);

	/** Says a text to the character, which does one of the options. */
	UFUNCTION(BlueprintCallable, Category = "tinsmith")
	bool Choose(const FString& Text, const TArray<FString>& Options);

	/** Drops the answer under way. */
	UFUNCTION(BlueprintCallable, Category = "tinsmith")
	void Cancel();

	/** Forgets the conversation but for the brief. */
	UFUNCTION(BlueprintCallable, Category = "tinsmith")
	bool Forget();

	/** The conversation, for a saved game. */
	UFUNCTION(BlueprintCallable, Category = "tinsmith")
	bool Save(TArray<uint8>& State);

	UFUNCTION(BlueprintCallable, Category = "tinsmith")
	bool Restore(const TArray<uint8>& State);

	UFUNCTION(BlueprintPure, Category = "tinsmith")
	bool IsBusy() const;

	/** A number over the answer's tokens and their logits, the same on every machine. */
	UFUNCTION(BlueprintPure, Category = "tinsmith")
	int64 GetDigest() const;

	virtual void BeginPlay() override;
	virtual void EndPlay(const EEndPlayReason::Type Reason) override;
	virtual void TickComponent(float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction) override;

private:
	bool Open();
	bool Fail(const FString& Why);
	template <class T> bool Held(const tin::result<T>& Result);
	bool Begun(const tin::result<>& Result, bool bChoice);

	std::optional<tin::session> Session;
	bool bBusy = false;
	bool bChoosing = false;
};
