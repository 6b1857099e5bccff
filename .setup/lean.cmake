# Included right after llama.cpp's own project(): the Python package forces this library on and never loads it, and it
# is half of the compile time. A plain variable hides the forced one.
set(LLAMA_BUILD_COMMON OFF)
