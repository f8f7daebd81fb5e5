/* The classes by the place of their score, in UTF-8. Made by edgesearch. */
#ifndef EDGESEARCH_LABELS_H_
#define EDGESEARCH_LABELS_H_

#define MODEL_LABELS $label_count
$labels
#endif /* EDGESEARCH_LABELS_H_ */
