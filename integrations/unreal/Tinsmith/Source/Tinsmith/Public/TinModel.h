#pragma once

#include "CoreMinimal.h"
#include "UObject/Object.h"
THIRD_PARTY_INCLUDES_START
#include "tin.hpp"
THIRD_PARTY_INCLUDES_END
#include "TinModel.generated.h"

DECLARE_LOG_CATEGORY_EXTERN(LogTinsmith, Log, All);

/** An open .tin, mapped and not read as a whole. Any number of components may share one. */
UCLASS(BlueprintType)
class TINSMITH_API UTinModel : public UObject
{
	GENERATED_BODY()

public:
	/**
	 * Opens a .tin.
	 * @param File   its path; a relative one is below the project's Content folder, staged as it is (NonUFS)
	 * @param Key    minisign's public key "RW...": only a file that its owner signed is opened; empty: any
	 * @param Error  what was wrong, in a line
	 * @return null where it can't be opened
	 */
	UFUNCTION(BlueprintCallable, Category = "tinsmith")
	static UTinModel* OpenTin(const FString& File, const FString& Key, FString& Error);

	/** Names of the adapters in the file. */
	UFUNCTION(BlueprintPure, Category = "tinsmith")
	TArray<FString> GetAdapters() const;

	/** The instruction set in use. */
	UFUNCTION(BlueprintPure, Category = "tinsmith")
	FString GetIsa() const;

	const tin::model& Get() const { return *Model; }

private:
	std::optional<tin::model> Model;
};
