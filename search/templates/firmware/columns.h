
/* The columns by name, and whether the model looks at them: where not, any finite number will do. */
extern const char *const model_column_names[MODEL_COLUMNS];
extern const unsigned char model_column_needed[MODEL_COLUMNS];

/* The number that stands for a category in a raw sample, from 0; -1 where the column, counted from 0, has
 * no such category or has plain numbers. Texts are UTF-8. */
int model_category(int column, const char *text);
