# Starts what build.sh has built.
if [ -e out/Server.dll ]; then
    exec dotnet out/Server.dll "$@"
else
    # Mono's nursery is 4 MiB by default. With that size, the garbage of disconnected clients
    # is too often promoted to the old generation, and the heap grows.
    export MONO_GC_PARAMS="${MONO_GC_PARAMS-nursery-size=512k}"
    exec mono out/Server.exe "$@"
fi
