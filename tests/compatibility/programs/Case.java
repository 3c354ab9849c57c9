/* The name that the document gives to a case; its method stands below. */

import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;

@Retention(RetentionPolicy.RUNTIME)
@interface Case {
    String value();
}
