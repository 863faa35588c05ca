"""Result files to answers, and answers to the rows of a frame."""
