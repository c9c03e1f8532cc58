"""The pages that people read in a browser: what the API answers, rendered; they ask and change nothing by themselves."""
