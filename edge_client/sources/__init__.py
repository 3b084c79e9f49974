"""Where pictures come from: a directory, standard input, a video, a camera, or any Python iterable."""
