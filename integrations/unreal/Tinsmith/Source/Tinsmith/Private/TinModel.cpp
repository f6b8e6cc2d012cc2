#include "TinModel.h"
#include "Misc/Paths.h"
#include "Modules/ModuleManager.h"

DEFINE_LOG_CATEGORY(LogTinsmith);
IMPLEMENT_MODULE(FDefaultModuleImpl, Tinsmith);

UTinModel* UTinModel::OpenTin(const FString& File, const FString& Key, FString& Error)
{
	const FString At = FPaths::IsRelative(File) ? FPaths::Combine(FPaths::ProjectContentDir(), File) : File;
	const FString Path = FPaths::ConvertRelativePathToFull(At);
	auto Opened = tin::model::open(TCHAR_TO_UTF8(*Path), TCHAR_TO_UTF8(*Key));
	if (!Opened)
	{
		Error = UTF8_TO_TCHAR(Opened.error().text.c_str());
		return nullptr;
	}
	UTinModel* Made = NewObject<UTinModel>();
	Made->Model.emplace(std::move(*Opened));
	return Made;
}

TArray<FString> UTinModel::GetAdapters() const
{
	TArray<FString> Names;
	for (const std::string& Name : Model->adapters())
	{
		Names.Add(UTF8_TO_TCHAR(Name.c_str()));
	}
	return Names;
}

FString UTinModel::GetIsa() const
{
	return UTF8_TO_TCHAR(Model->isa().data());
}
