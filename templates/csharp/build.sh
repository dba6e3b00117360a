# Builds with the .NET SDK if it is installed, otherwise with Mono.
set -eu
rm -rf out obj
if version=$(dotnet --version 2>/dev/null); then
    dotnet build Server.csproj --nologo -c Release -o out -p:TargetFramework="net${version%%.*}.0"
else
    mkdir out
    mcs -optimize+ -out:out/Server.exe Server.cs
fi
